//! Everything that is measured, behind three traits: a signal, its children,
//! its waiters.

mod almost_enough;
mod cancellation;
mod desist;
mod event_listener;
mod flag;
mod nexus;
mod notify;
mod stop_token;
mod tokio_tasks;
mod tokio_util;
mod triggered;
mod watch;

use std::future::Future;

pub(crate) use almost_enough::AlmostEnough;
pub(crate) use cancellation::Cancellation;
pub(crate) use desist::Desist;
pub(crate) use event_listener::{EventListenerOnHeap, EventListenerOnStack};
pub(crate) use flag::Flag;
pub(crate) use nexus::Nexus;
pub(crate) use notify::Notify;
pub(crate) use stop_token::StopToken;
pub(crate) use tokio_tasks::TokioTasks;
pub(crate) use tokio_util::TokioUtil;
pub(crate) use triggered::Triggered;
pub(crate) use watch::Watch;

pub(crate) trait Peer: 'static {
    const NAME: &'static str;
    type Source: Send + Sync + 'static;
    type Token: Clone + Send + Sync + 'static;

    /// The two ends; two handles of one type where the peer has only one type.
    fn create() -> (Self::Source, Self::Token);
    fn is_cancelled(token: &Self::Token) -> bool;
    fn cancel(source: Self::Source);
}

pub(crate) trait HasChild: Peer {
    /// The one handle by which a child is kept.
    type Child: Send + Sync + 'static;

    fn child(parent: &Self::Token) -> Self::Child;
    fn child_token(child: &Self::Child) -> Self::Token;
    fn child_is_cancelled(child: &Self::Child) -> bool;
}

pub(crate) trait HasWait: Peer {
    fn wait(token: &Self::Token) -> impl Future + Send + '_;
    fn wait_owned(token: Self::Token) -> impl Future + Send + 'static;
}

/// What `--peers` may name. The last three take part in single rows only.
pub(crate) const NAMES: &[&str] = &[
    Desist::NAME,
    TokioUtil::NAME,
    Nexus::NAME,
    TokioTasks::NAME,
    AlmostEnough::NAME,
    Triggered::NAME,
    Cancellation::NAME,
    EventListenerOnStack::NAME,
    EventListenerOnHeap::NAME,
    Notify::NAME,
    Watch::NAME,
    StopToken::NAME,
    Flag::NAME,
    "async-io",
    "futures",
    "tokio JoinSet",
];

pub(crate) fn is_known(pattern: &str) -> bool {
    NAMES.iter().any(|name| name.contains(pattern))
}

/// Adds `make::<P>(..)`, a `Batch`, for each peer `P` of a list.
macro_rules! add_each {
    ([$($peer:ident)*], $entries:expr, $make:ident $arguments:tt) => {{
        $($crate::peers::add_each!(@one $peer, $entries, $make $arguments);)*
    }};
    (@one $peer:ident, $entries:expr, $make:ident ($($argument:expr),*)) => {
        $entries.add(
            <$crate::peers::$peer as $crate::peers::Peer>::NAME,
            || $make::<$crate::peers::$peer>($($argument),*),
        )
    };
}

macro_rules! every_peer {
    ($($rest:tt)*) => {
        $crate::peers::add_each!(
            [Desist TokioUtil Nexus TokioTasks AlmostEnough Triggered Cancellation
             EventListenerOnStack Notify Watch StopToken Flag],
            $($rest)*
        )
    };
}

macro_rules! every_parent {
    ($($rest:tt)*) => {
        $crate::peers::add_each!([Desist TokioUtil Nexus AlmostEnough], $($rest)*)
    };
}

macro_rules! every_waiter {
    ($($rest:tt)*) => {
        $crate::peers::add_each!(
            [Desist TokioUtil Nexus TokioTasks Triggered
             EventListenerOnStack EventListenerOnHeap Notify Watch StopToken],
            $($rest)*
        )
    };
}

pub(crate) use {add_each, every_parent, every_peer, every_waiter};
