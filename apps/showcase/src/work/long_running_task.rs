//! What .NET's introductions show: a loop that takes its time.

use std::time::Duration;

use desist::{Cancelled, Token};
use desist_tokio::sleep;

use super::{Asked, Work};

pub(crate) struct LongRunningTask;

impl Work for LongRunningTask {
    type Response = ();

    const NAME: &'static str = "long-running task";
}

pub(crate) async fn long_running_task(
    stop: Token,
    asked: Asked<LongRunningTask>,
) -> Result<(), Cancelled> {
    for i in 1..=20 {
        sleep(Duration::from_secs(1), &stop).await?;
        asked.entry.progress(i, Some(20));
    }
    Ok(())
}
