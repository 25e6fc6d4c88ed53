//! The whole way of one.

use desist_ops::{
    BoxError, CancelAnswer, CancelRequest, Context, Kind, Operations, Outcome, State, Store,
};
use desist_tokio::{StopSource, sleep};
use std::time::Duration;

use crate::PATIENCE;
use crate::world::{World, on_both};

on_both!(one_goes_all_the_way);

async fn one_goes_all_the_way<W: World>(world: &W) {
    async fn export<S: Store>(ctx: Context<S>, n: u64) -> Result<u64, BoxError> {
        ctx.progress(n, 10, "begins");
        if n > 5 {
            sleep(Duration::from_secs(3600), ctx.token()).await?;
        }
        Ok(n * 2)
    }
    let open = || async {
        Operations::builder(world.store().await)
            .kind(Kind::new("export", export))
            .open()
            .await
            .unwrap()
    };
    let (here, there) = (open().await, open().await);
    let stop = StopSource::new();
    let runs = tokio::spawn(there.run(&stop.stop()));
    let id = here.start("export", &3).tag("a").actor("ada").await.unwrap().id();
    let done = here.wait(id, PATIENCE).await.unwrap();
    assert_eq!(done.state, State::Finished(Outcome::Succeeded), "{done:?}");
    assert_eq!(done.output.as_deref(), Some("6"));
    let id = here.start("export", &7).await.unwrap().id();
    here.until_running(id).await.unwrap();
    assert_eq!(
        here.cancel(id, CancelRequest::new().actor("ada")).await.unwrap(),
        CancelAnswer::Requested
    );
    let done = here.wait(id, PATIENCE).await.unwrap();

    assert_eq!(done.state, State::Finished(Outcome::Cancelled), "{done:?}");

    assert!(done.heard_at.is_some() && done.seen_at.is_some());
    stop.cancel();
    let report = runs.await.unwrap().unwrap();
    assert_eq!((report.succeeded(), report.cancelled()), (1, 1));
}
