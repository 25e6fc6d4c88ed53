//! Work with an id, which outlives its request, and the process that ran it.

mod deaf;
mod export;
mod import;
mod kept;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use desist_host::BoxError;
use desist_ops::{AfterDeath, Context, Error, Kind, Operations, Store};

pub(crate) use self::kept::sweep_exports;
use crate::config::Config;
use crate::data::Shared;
use crate::log::{Asker, Entry, Log};

/// How long those are kept that have ended, and what they have written.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the handlers need.
pub(crate) struct Needs {
    pub(crate) log: Log,
    pub(crate) documents: Shared,
    pub(crate) exports: PathBuf,
}

/// Those that this service knows, kept in `store`.
pub(crate) async fn open<S: Store>(store: S, needs: Needs) -> Result<Operations<S>, Error> {
    let needs = Arc::new(needs);
    let [for_import, for_export, for_deaf] = [0; 3].map(|_| Arc::clone(&needs));
    Operations::builder(store)
        .kind(
            Kind::new("import", move |ctx, input| import::import(ctx, input, for_import.clone()))
                .concurrency(2)
                .after_death(AfterDeath::Restart),
        )
        .kind(
            Kind::new("export", move |ctx, input| export::export(ctx, input, for_export.clone()))
                .after_death(AfterDeath::Restart),
        )
        .kind(
            Kind::new("deaf", move |ctx, input| deaf::deaf(ctx, input, for_deaf.clone()))
                .grace(Duration::from_secs(3)),
        )
        // Here one looks on: what a killed process left is found soon.
        .lease(Duration::from_secs(5))
        .drain_for(Duration::from_secs(1))
        .keep_finished(KEPT)
        .label(Config::instance())
        .open()
        .await
}

/// Does it with an entry in the log.
async fn logged<S: Store, T>(
    log: &Log,
    ctx: &Context<S>,
    what: &'static str,
    work: impl AsyncFnOnce(&Entry) -> Result<T, BoxError>,
) -> Result<T, BoxError> {
    let asker = Asker {
        operation: Some(ctx.id().to_string()),
        ..Asker::called(ctx.actor().unwrap_or("somebody"))
    };
    let entry = Entry::begin(log, what, asker, ctx.token().clone());
    let done = work(&entry).await;
    entry.end(&done, &format!("attempt {} of {}: ", ctx.attempt(), ctx.attempts()));
    done
}
