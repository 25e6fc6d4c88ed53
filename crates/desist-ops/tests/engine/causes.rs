//! What is in the errors of handlers, however deep.

use anyhow::Context as _;
use desist_ops::{Context, Kind, State, Store};
use desist_tokio::sleep;

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(a_cancellation_within_another_error_is_one, a_drain_within_another_error_gives_it_back,);

/// Says why it stopped, in words of its own or not.
fn explains<S: Store>() -> Kind<S> {
    Kind::new("explains", |ctx: Context<S>, (drains, explains): (bool, bool)| async move {
        let token = if drains { ctx.draining() } else { ctx.token() };
        let stopped = sleep(HOUR, token).await;
        if explains {
            stopped.context("while it waited")?
        } else {
            stopped?
        }
        anyhow::Ok(())
    })
}

async fn a_cancellation_within_another_error_is_one<W: World>(world: &W) {
    let all = process(world, [explains().attempts(3)]).await;
    let run = runs(&all);
    for explains in [false, true] {
        let id = all.start("explains", &(false, explains)).await.unwrap().id();
        soon(all.until_running(id)).await.unwrap();
        all.cancel(id, by("ada")).await.unwrap();
        let done = ended(&all, id).await;
        assert_eq!((done.state, done.attempt), (CANCELLED, 1));
        // It has stopped as it was asked to: that is no failure.
        assert_eq!(done.error, None, "{explains}");
    }
    run.end().await;
}

async fn a_drain_within_another_error_gives_it_back<W: World>(world: &W) {
    let all = process(world, [explains()]).await;
    let run = runs(&all);
    let mut ids = Vec::new();
    for explains in [false, true] {
        let id = all.start("explains", &(true, explains)).await.unwrap().id();
        soon(all.until_running(id)).await.unwrap();
        ids.push(id);
    }
    run.stop.drain();
    let report = run.ended().await;

    assert_eq!((report.given_back(), report.failed()), (2, 0), "{report}");
    for id in ids {
        let left = now(&all, id).await;
        assert_eq!((left.state, left.attempt, left.error), (State::Waiting, 0, None));
    }
}

#[cfg(feature = "anyhow")]
mod of_anyhow {
    use desist_ops::Lasting;

    use super::*;

    on_both!(a_lasting_failure_within_one_of_anyhow_is_not_tried_again,);

    async fn a_lasting_failure_within_one_of_anyhow_is_not_tried_again<W: World>(world: &W) {
        let kind = Kind::new("lasting", |_: Context<W::Store>, behind: bool| async move {
            let lasting = Err(Lasting::new("there is no such table"));
            if behind {
                lasting.context("it did not go")?
            } else {
                lasting?
            }
            anyhow::Ok(())
        });
        let all = process(world, [kind.attempts(3).backoff(millis(1), millis(1))]).await;
        let run = runs(&all);
        for (behind, says) in
            [(false, "there is no such table"), (true, "it did not go: there is no such table")]
        {
            let done = ended(&all, all.start("lasting", &behind).await.unwrap().id()).await;
            assert_eq!((done.state, done.attempt), (FAILED, 1));
            assert_eq!(done.error.as_deref(), Some(says));
        }
        run.end().await;
    }
}
