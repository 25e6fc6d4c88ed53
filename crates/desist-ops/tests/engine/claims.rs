//! How many are taken at once.

use desist_ops::{BoxError, Context, Kind};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(all_that_is_due_is_taken_at_once_though_something_is_not_due_yet,);

async fn all_that_is_due_is_taken_at_once_though_something_is_not_due_yet<W: World>(world: &W) {
    // Several times what is taken at a time.
    const ALL: u32 = 220;
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("due", move |ctx: Context<W::Store>, _: ()| {
        at.here();
        async move {
            sleep(HOUR, ctx.token()).await?;
            Ok::<_, BoxError>(())
        }
    });
    let all = builder(world, [kind.concurrency(ALL as usize + 1), stays("later")]).await;
    // Nothing else makes it look again.
    let all = all.look_every(HOUR).lease(HOUR).open().await.unwrap();
    let _later = all.start("later", &()).delay(HOUR).await.unwrap();
    waiting(world, "due", ALL).await;
    let run = runs(&all);
    for _ in 0..ALL {
        gate.came().await;
    }
    run.dies().await;
}
