//! How many are taken at once.

use desist_ops::{BoxError, Context, Kind, Postgres};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{OnPostgres, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_due_is_taken_at_once_though_something_is_not_due_yet() {
    // Several times what is taken at a time.
    const ALL: u32 = 220;
    let Some(world) = OnPostgres::begin().await else { return };
    let gate = Gate::default();
    let at = gate.clone();
    let kind = Kind::new("due", move |ctx: Context<Postgres>, _: ()| {
        at.here();
        async move {
            sleep(HOUR, ctx.token()).await?;
            Ok::<_, BoxError>(())
        }
    });
    // Nothing makes it look again, not even what others do.
    let store = Postgres::builder(world.config()).without_push().build().unwrap();
    let all = of_store(store, [kind.concurrency(ALL as usize + 1), stays("later")]);
    let all = all.look_every(HOUR).lease(HOUR).open().await.unwrap();
    let _later = all.start("later", &()).delay(HOUR).await.unwrap();
    waiting(&world, "due", ALL).await;
    let run = runs(&all);
    for _ in 0..ALL {
        gate.came().await;
    }
    run.dies().await;
}
