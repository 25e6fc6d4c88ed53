//! Deadlines on tokio's time.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::Count;
use desist::{Reason, Source, Token};
use desist_tokio::{
    Outcome, TaskGroup, clock, current, interval, root_clock, sleep, timeout, timeout_at,
    with_current,
};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_deadline_follows_paused_time_and_never_fires_early() {
    let source = Source::with_clock(clock());
    let begin = Instant::now();
    source.cancel_after(HOUR);
    tokio::time::advance(HOUR - Duration::from_nanos(1)).await;
    assert!(!source.is_cancelled());
    let cancelled = source.token().await;
    assert_eq!(cancelled.reason(), Reason::Deadline);
    let waited = begin.elapsed();
    assert!(waited >= HOUR && waited < HOUR + Duration::from_millis(3), "{waited:?}");
    assert_eq!(cancelled.at(), (begin + HOUR).max(cancelled.at().into()).into_std());
}

#[tokio::test(start_paused = true)]
async fn children_follow_as_well_and_deadlines_fire_in_their_order() {
    let source = Source::with_clock(clock());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut children = Vec::new();
    for minutes in [30, 10, 20] {
        let child = source.token().child_with_timeout(Duration::from_secs(60 * minutes));
        let noted = Arc::clone(&order);
        child.token().on_cancel(move |_| noted.lock().unwrap().push(minutes)).detach();
        children.push(child);
    }
    for child in &children {
        child.token().await;
    }
    assert_eq!(*order.lock().unwrap(), [10, 20, 30]);
    assert!(!source.is_cancelled());
}

#[tokio::test]
async fn time_that_is_paused_later_counts_too() {
    let source = Source::with_clock(clock());
    source.cancel_after(HOUR);
    tokio::time::pause();
    assert_eq!(source.token().await.reason(), Reason::Deadline);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_does_not_fire_and_what_is_armed_anew_does() {
    let source = Source::with_clock(clock());
    source.cancel_after(HOUR);
    source.disarm();
    tokio::time::sleep(HOUR * 2).await;
    assert!(!source.is_cancelled());
    source.cancel_after(HOUR);
    source.cancel_after(HOUR * 3);
    tokio::time::sleep(HOUR * 2).await;
    assert!(!source.is_cancelled());
    source.token().await;
    // An earlier one wakes whoever looks for the later one.
    let shared = clock();
    let (late, soon) = (Source::with_clock(shared.clone()), Source::with_clock(shared));
    late.cancel_after(HOUR);
    soon.cancel_after(Duration::from_secs(1));
    let begin = Instant::now();
    soon.token().await;
    assert!(begin.elapsed() < HOUR);
}

/// Nobody keeps a clock that nobody uses, and its task ends.
#[tokio::test(start_paused = true)]
async fn a_clock_that_nobody_uses_leaves_nothing_behind() {
    let clock = clock();
    let weak = clock.downgrade();
    let source = Source::with_clock(clock);
    source.cancel_after(HOUR);
    tokio::task::yield_now().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 1, "it looks");
    source.disarm();
    drop(source);
    assert!(weak.upgrade().is_none());
    common::until("its task has ended", || tasks() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_root_made_under_paused_time_follows_it() {
    let (begin, clock) = (Instant::now(), root_clock());
    let source = Source::with_clock(clock.clone());
    source.cancel_after(HOUR);
    let late = tokio::time::timeout(HOUR * 2, source.token()).await;
    assert_eq!(late.expect("it comes first").reason(), Reason::Deadline);
    assert!(clock.now() >= (begin + HOUR).into_std());
}

#[test]
fn a_root_made_elsewhere_is_on_the_systems_time() {
    let outside = root_clock();
    common::current_thread().block_on(async {
        let inside = root_clock();
        tokio::time::pause();
        tokio::time::advance(HOUR).await;
        let now = std::time::Instant::now();
        assert!((inside.now() - now).max(outside.now() - now) < HOUR / 2);
        assert!(root_clock().now() - now > HOUR / 2, "and one that is made now is not");
    });
}

/// What is armed from elsewhere is on the time of the clock's runtime.
#[test]
fn other_threads_and_runtimes_see_the_same_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let clock = runtime.block_on(async {
        tokio::time::advance(HOUR).await;
        clock()
    });
    let here = clock.now();
    let there = clock.clone();
    let from_a_thread = std::thread::spawn(move || there.now()).join().unwrap();
    let from_a_runtime = common::multi_thread().block_on(async { clock.now() });
    assert_eq!((from_a_thread, from_a_runtime), (here, here), "time stands still");
    let source = Source::with_clock(clock);
    let token = source.token();
    std::thread::spawn(move || source.cancel_after(HOUR)).join().unwrap();
    assert_eq!(runtime.block_on(token.cancelled()).reason(), Reason::Deadline);
}

#[test]
fn a_clock_outlives_its_runtime_without_firing() {
    let runtime = common::current_thread();
    let source = runtime.block_on(async { Source::with_clock(clock()) });
    source.cancel_after(HOUR);
    drop(runtime);
    source.cancel_after(Duration::from_nanos(1));
    assert!(!source.is_cancelled());
    source.cancel();
    assert!(source.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_follows_paused_time_below_a_token_of_the_system() {
    let source = Source::new();
    let begin = Instant::now();
    let late = timeout(HOUR, &source.token(), |token| async move {
        assert!(token.deadline().is_some());
        std::future::pending::<()>().await
    });
    assert_eq!(late.await.unwrap_err().reason(), Reason::Deadline);
    assert!(begin.elapsed() >= HOUR);
    let at = (Instant::now() + HOUR).into_std();
    let late = timeout_at(at, &source.token(), |_| std::future::pending::<()>());
    assert_eq!(late.await.unwrap_err().reason(), Reason::Deadline);
    assert!(Instant::now().into_std() >= at);
    // And the outer one still counts.
    let stopped = timeout(HOUR, &source.token(), |_| async {
        source.cancel_with(Reason::Shutdown);
        std::future::pending::<()>().await
    });
    assert_eq!(stopped.await.unwrap_err().reason(), Reason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn waits_of_zero_and_of_ages() {
    let source = Source::new();
    let token = source.token();
    assert!(sleep(Duration::ZERO, &token).await.is_ok());
    let began = Count::new();
    for late in [
        timeout(Duration::ZERO, &token, |_| {
            began.add();
            std::future::ready(())
        }),
        timeout_at(Instant::now().into_std(), &token, |_| {
            began.add();
            std::future::ready(())
        }),
    ] {
        assert_eq!(late.await.unwrap_err().reason(), Reason::Deadline);
    }
    assert_eq!(began.get(), 0, "no time: it is not begun");
    let quick = timeout(Duration::MAX, &token, |_| async { began.add() }).await;
    assert!(quick.is_ok() && began.get() == 1);
    source.cancel();
    assert!(sleep(Duration::ZERO, &token).await.is_err(), "it fails first");
    assert!(sleep(Duration::MAX, &token).await.is_err());
    let mut ticks = interval(HOUR, &token);
    assert!(ticks.tick().await.is_err() && ticks.tick().await.is_err());
}

/// The last word is the work's: it sees its token cancelled and says so itself.
#[tokio::test(start_paused = true)]
async fn work_that_hears_its_deadline_gives_its_own_answer() {
    let source = Source::new();
    let answer = timeout(HOUR, &source.token(), |token| async move {
        let cancelled = token.await;
        format!("partial, because of {}", cancelled.reason())
    });
    assert_eq!(answer.await.unwrap(), "partial, because of deadline");
}

/// Everything below a timeout has the runtime's time, whatever its token has.
#[tokio::test(start_paused = true)]
async fn what_is_below_a_timeout_follows_paused_time() {
    let source = Source::new();
    let second = Duration::from_secs(1);
    let ended = timeout(HOUR, &source.token(), |token| async move {
        let below = token.child_with_timeout(second);
        sleep(HOUR / 2, &below.token()).await
    });
    assert_eq!(ended.await.unwrap().unwrap_err().reason(), Reason::Deadline);
    // One who was stopped before is told that, and not that there was no time.
    source.cancel_with(Reason::Shutdown);
    let late = timeout(Duration::ZERO, &source.token(), |_| async {}).await;
    assert_eq!(late.unwrap_err().reason(), Reason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_over_where_its_time_was_advanced_to_its_end() {
    let late = timeout(HOUR, &Token::never(), |_| std::future::pending::<()>());
    let mut late = std::pin::pin!(late);
    assert!(common::poll_once(late.as_mut()).is_pending());
    tokio::time::advance(HOUR).await;
    assert!(common::poll_once(late.as_mut()).is_ready());
    // And whoever only looks asks the clock to look, or yields.
    let clock = clock();
    let source = Source::with_clock(clock.clone());
    source.cancel_after(HOUR);
    tokio::time::advance(HOUR).await;
    clock.fire_due();
    assert!(source.is_cancelled());
    let source = Source::with_clock(clock);
    source.cancel_after(HOUR);
    tokio::task::yield_now().await;
    tokio::time::advance(HOUR).await;
    tokio::task::yield_now().await;
    assert!(source.is_cancelled());
}

/// Where time is paused it stands still while blocking work runs.
#[test]
fn blocking_work_of_a_group_has_the_time_of_the_system() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let group = TaskGroup::new();
            let outer = Source::with_clock(clock());
            let work = async {
                group.spawn_blocking("sleeps", |stop| {
                    stop.blocking_sleep(Duration::from_millis(2))?;
                    stop.draining().blocking_sleep(Duration::from_millis(2))?;
                    assert!(current().blocking_wait_timeout(Duration::from_millis(2)).is_none());
                    Ok::<_, desist::Cancelled>(())
                });
                group.spawn_blocking("is stopped", |stop| {
                    let why = stop.draining().blocking_wait();
                    assert_eq!(why.reason(), Reason::Overload);
                    assert_eq!(current().blocking_wait().reason(), Reason::Overload);
                    stop.check()
                });
                let slept = group.next().await.unwrap();
                assert_eq!(slept.to_string(), "task `sleeps` finished");
                group.cancel_with(Reason::Overload);
                group.join().await
            };
            let ended = with_current(outer.token(), work).await;
            assert!(matches!(ended[0].outcome(), Outcome::Cancelled(_)), "{ended:?}");
        });
        tell.send(()).unwrap();
    });
    told.recv_timeout(common::PATIENCE).expect("it ends");
}
