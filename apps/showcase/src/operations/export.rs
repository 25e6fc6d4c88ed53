//! All documents into a file, which is there whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use desist_host::BoxError;
use desist_ops::{Context, Store};
use desist_tokio::io::AtomicFile;
use desist_tokio::sleep;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::{Needs, logged};
use crate::config::Config;

#[derive(Deserialize)]
pub(super) struct Export {}

#[derive(Serialize)]
pub(super) struct Exported {
    documents: u64,
    link: String,
    /// Which instance has the file.
    on: String,
}

const AT_A_TIME: u32 = 100;
/// So that there is something to see.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn export<S: Store>(
    ctx: Context<S>,
    Export {}: Export,
    needs: Arc<Needs>,
) -> Result<Exported, BoxError> {
    logged(&needs.log, &ctx, "export", async |entry| {
        let name = format!("{}.jsonl", ctx.id());
        let total = needs.documents.count(ctx.token()).await? as u64;
        let mut file = AtomicFile::create(needs.exports.join(&name), ctx.token()).await?;
        let (mut done, mut last) = (0, 0);
        loop {
            let page = needs.documents.after(ctx.token(), last, AT_A_TIME).await?;
            let Some(end) = page.last() else { break };
            last = end.id;
            for document in &page {
                let mut line = serde_json::to_vec(document)?;
                line.push(b'\n');
                file.write_all(&line).await?;
            }
            done += page.len() as u64;
            // More may come meanwhile.
            let total = total.max(done);
            ctx.progress(done, total, "writes documents");
            entry.progress(done, Some(total));
            sleep(PAUSE, ctx.token()).await?;
        }
        file.commit().await?;
        Ok(Exported { documents: done, link: format!("/exports/{name}"), on: Config::instance() })
    })
    .await
}
