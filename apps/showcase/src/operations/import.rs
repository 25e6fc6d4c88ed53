//! Documents from a slow source, some at a time. Begun again, it leaves out what is there.

use std::sync::Arc;
use std::time::Duration;

use desist_host::BoxError;
use desist_ops::{Context, Lasting, Store};
use desist_tokio::sleep;
use serde::{Deserialize, Serialize};

use super::{Needs, logged};
use crate::data::made_up;

#[derive(Deserialize)]
pub(super) struct Import {
    documents: u64,
}

#[derive(Serialize)]
pub(super) struct Imported {
    documents: u64,
}

/// Each time so many, all or none.
const AT_A_TIME: u64 = 50;
/// The source is slow.
const PAUSE: Duration = Duration::from_millis(250);
/// More would take the report for hours.
const MOST: u64 = 20_000;

pub(super) async fn import<S: Store>(
    ctx: Context<S>,
    Import { documents }: Import,
    needs: Arc<Needs>,
) -> Result<Imported, BoxError> {
    if documents > MOST {
        let advice = format!("{documents} documents are too many; import at most {MOST}");
        return Err(Lasting::new(advice).into());
    }
    logged(&needs.log, &ctx, "import", async |entry| {
        let series = ctx.id().to_string();
        let mut done = 0;
        while done < documents {
            sleep(PAUSE, ctx.token()).await?;
            let next = (done + AT_A_TIME).min(documents);
            let some = (done + 1..=next).map(|number| made_up(&series, number)).collect();
            needs.documents.add(ctx.token(), some).await?;
            done = next;
            ctx.progress(done, documents, "imports documents");
            entry.progress(done, Some(documents));
        }
        Ok(Imported { documents })
    })
    .await
}
