//! Children ask their parents at each check; nobody is woken.

use ::almost_enough::{ChildStopper, Stop};

use super::{HasChild, Peer};

pub(crate) struct AlmostEnough;

impl Peer for AlmostEnough {
    const NAME: &'static str = "almost-enough";
    type Source = ChildStopper;
    type Token = ChildStopper;

    #[inline]
    fn create() -> (Self::Source, Self::Token) {
        let source = ChildStopper::new();
        let token = source.clone();
        (source, token)
    }

    #[inline]
    fn is_cancelled(token: &Self::Token) -> bool {
        token.should_stop()
    }

    fn cancel(source: Self::Source) {
        source.cancel();
    }
}

impl HasChild for AlmostEnough {
    type Child = ChildStopper;

    #[inline]
    fn child(parent: &Self::Token) -> Self::Child {
        parent.child()
    }

    fn child_token(child: &Self::Child) -> Self::Token {
        child.clone()
    }

    #[inline]
    fn child_is_cancelled(child: &Self::Child) -> bool {
        child.should_stop()
    }
}
