//! Panics where nobody thinks of them.

use std::fmt;

use desist_ops::{BoxError, Context, Kind, Operation, Operations, State, Store, WhenOverdue};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    a_panic_in_what_is_dropped_is_a_failure,
    a_panic_in_the_words_of_an_error_is_a_failure,
    a_panic_is_tried_again_as_any_other_failure,
    a_callback_that_panics_is_the_end_of_nobody_else,
);

/// It has failed, and was begun so often.
async fn fails<S: Store>(
    all: &Operations<S>,
    kind: &str,
    count: &Count,
    often: usize,
) -> Operation {
    let done = ended(all, begun(all, kind).await).await;
    assert_eq!((done.state, done.attempt), (FAILED, u32::try_from(often).unwrap()), "{done:?}");
    assert_eq!((done.generation, count.get()), (i64::try_from(often).unwrap(), often));
    done
}

struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("in its drop");
    }
}

async fn a_panic_in_what_is_dropped_is_a_failure<W: World>(world: &W) {
    let count = Count::default();
    let counted = count.clone();
    let kind = Kind::new("drops", move |_: Context<W::Store>, _: ()| {
        counted.one();
        async {
            let _bad = Bad;
            std::future::pending::<Result<(), BoxError>>().await
        }
    });
    let kind = kind.timeout(millis(50)).grace(millis(50)).when_overdue(WhenOverdue::Drop);
    let all = process(world, [kind]).await;
    let run = runs(&all);
    let done = fails(&all, "drops", &count, 1).await;

    assert_eq!(done.error.as_deref(), Some("it panicked: in its drop"));
    assert_eq!(story(&all, done.id).await.last().unwrap(), "finished");
    let report = run.end().await;
    assert!(report.is_clean() && report.failed() == 1, "{report}");
}

#[derive(Debug)]
struct Speechless;

impl std::error::Error for Speechless {}

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in its words")
    }
}

/// Fails with what cannot be said.
fn speechless<S: Store>(count: &Count) -> Kind<S> {
    let count = count.clone();
    Kind::new("speechless", move |_: Context<S>, _: ()| {
        count.one();
        async { Err::<(), _>(Speechless) }
    })
}

async fn a_panic_in_the_words_of_an_error_is_a_failure<W: World>(world: &W) {
    let count = Count::default();
    let all = process(world, [speechless(&count)]).await;
    let run = runs(&all);
    let done = fails(&all, "speechless", &count, 1).await;

    assert_eq!(done.error.as_deref(), Some("it panicked: in its words"));
    let report = run.end().await;
    assert!(report.is_clean() && report.failed() == 1, "{report}");
}

async fn a_panic_is_tried_again_as_any_other_failure<W: World>(world: &W) {
    let count = Count::default();
    let kind = speechless(&count).attempts(2).backoff(millis(1), millis(1));
    let all = process(world, [kind]).await;
    let run = runs(&all);
    fails(&all, "speechless", &count, 2).await;
    assert_eq!(run.end().await.tried_again(), 1);
}

async fn a_callback_that_panics_is_the_end_of_nobody_else<W: World>(world: &W) {
    let gate = Gate::default();
    let calls = gate.clone();
    let kind = Kind::new("calls", move |ctx: Context<_>, _: ()| {
        let gate = calls.clone();
        async move {
            let _called = ctx.token().on_cancel(|_| panic!("in a callback"));
            gate.here();
            Err::<(), BoxError>(ctx.token().cancelled().await.into())
        }
    });
    let all = process(world, [kind, stays("other")]).await;
    let run = runs(&all);
    let (calls, other) = (begun(&all, "calls").await, running(&all, "other").await);
    gate.came().await;
    all.cancel(calls, by("ada")).await.unwrap();
    assert_eq!(ended(&all, calls).await.state, CANCELLED);
    // The other one is still heard of, and told.
    assert_eq!(now(&all, other).await.state, State::Running);
    all.cancel(other, by("ada")).await.unwrap();
    assert_eq!(ended(&all, other).await.state, CANCELLED);
    let report = run.end().await;
    assert_eq!((report.cancelled(), report.lost()), (2, 0));
}
