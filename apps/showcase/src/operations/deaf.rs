//! What no operation should be: it does not look at its token. It is here so that one can see
//! what becomes of such: who asked, how long it is overdue, and that nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use desist_host::BoxError;
use desist_ops::{Context, Store};
use serde::Deserialize;

use super::{Needs, logged};

#[derive(Deserialize)]
pub(super) struct Deaf {}

const SECONDS: u64 = 40;

pub(super) async fn deaf<S: Store>(
    ctx: Context<S>,
    Deaf {}: Deaf,
    needs: Arc<Needs>,
) -> Result<(), BoxError> {
    logged(&needs.log, &ctx, "deaf job", async |entry| {
        for second in 1..=SECONDS {
            // The mistake: this is tokio's, which nobody can end early.
            tokio::time::sleep(Duration::from_secs(1)).await;
            ctx.progress(second, SECONDS, "hears nothing");
            entry.progress(second, Some(SECONDS));
        }
        Ok(())
    })
    .await
}
