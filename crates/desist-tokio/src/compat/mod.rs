//! Coming from tokio-util: its token and its tracker with desist underneath, and
//! bridges to where its own types must stay.
//!
//! # Moving a project
//!
//! One `use` changes, and everything goes on as before:
//!
//! ```
//! // use tokio_util::sync::CancellationToken;
//! // use tokio_util::task::TaskTracker;
//! use desist_tokio::compat::{CancellationToken, TaskTracker};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let token = CancellationToken::new();
//! let tracker = TaskTracker::new();
//! let child = token.child_token();
//! tracker.spawn(async move { child.cancelled().await });
//! tracker.close();
//! token.cancel();
//! tracker.wait().await;
//! # }
//! ```
//!
//! From there on the token can do what a [`Token`](desist::Token) can, wherever one
//! is asked for: it derefs to one. So `token.check()?`, `token.reason()` and
//! `desist_tokio::sleep(time, &token)` work, and the rest of the project moves
//! function by function: where a stop is asked for, the type becomes
//! [`Source`](desist::Source), where one is obeyed, [`Token`](desist::Token). `From`
//! goes both ways.
//!
//! What is there has the names and the meaning of tokio-util 0.7, and its own test
//! suites pass.
//!
//! # Where its own types must stay
//!
//! A library that takes or gives tokio-util's type is joined by `from_tokio_util`
//! and `to_tokio_util` (feature `tokio-util`), without a task.

#[cfg(feature = "tokio-util")]
mod bridge;
mod future;
mod guard;
mod token;
mod tracker;

#[cfg(feature = "tokio-util")]
pub use self::bridge::{FromTokioUtil, ToTokioUtil, from_tokio_util, to_tokio_util};
pub use self::future::{FutureExt, WithCancellationTokenFuture, WithCancellationTokenFutureOwned};
pub use self::guard::{DropGuard, DropGuardRef};
pub use self::token::{
    CancellationToken, WaitForCancellationFuture, WaitForCancellationFutureOwned,
};
pub use self::tracker::{TaskTracker, TaskTrackerToken, TaskTrackerWaitFuture, TrackedFuture};

#[cfg(doctest)]
#[doc = include_str!("../../MIGRATION.md")]
struct Migration;
