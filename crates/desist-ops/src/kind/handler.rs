//! A handler, without its types.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::failed::boxed;
use crate::{BoxError, Context};

/// What a handler does, until it has an output as JSON.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

pub(crate) trait Handles<S>: Send + Sync {
    /// Whether it takes that.
    fn check(&self, input: &str) -> Result<(), serde_json::Error>;

    fn begin(&self, ctx: Context<S>, input: &str) -> Result<Work, serde_json::Error>;
}

/// What it takes, gives and fails with.
type Types<I, O, E> = PhantomData<fn(I) -> (O, E)>;

pub(super) struct Closure<F, I, O, E> {
    closure: F,
    types: Types<I, O, E>,
}

impl<F, I, O, E> Closure<F, I, O, E> {
    pub(super) fn new(closure: F) -> Self {
        Self { closure, types: PhantomData }
    }
}

impl<S, F, Fut, I, O, E> Handles<S> for Closure<F, I, O, E>
where
    F: Fn(Context<S>, I) -> Fut + Send + Sync,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
    I: DeserializeOwned,
    O: Serialize,
    E: Into<BoxError> + 'static,
{
    fn check(&self, input: &str) -> Result<(), serde_json::Error> {
        serde_json::from_str::<I>(input).map(drop)
    }

    fn begin(&self, ctx: Context<S>, input: &str) -> Result<Work, serde_json::Error> {
        let work = (self.closure)(ctx, serde_json::from_str(input)?);
        Ok(Box::pin(async move {
            let output = work.await.map_err(boxed)?;
            // It has no types that could fail, or it is its handler's failure.
            Ok(serde_json::to_string(&output)?)
        }))
    }
}
