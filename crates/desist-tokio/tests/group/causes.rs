//! What is a stop, and what is a failure.

use std::future::pending;
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_tokio::{Outcome, TaskGroup, current, shield_for, timeout, with_current};
use tokio::sync::oneshot;

use super::on_both;
use crate::common::{self, PATIENCE};

const SOON: Duration = Duration::from_millis(20);

on_both! {
    /// What a deadline below cut short while the group stopped is a failure.
    async fn a_cleanup_that_failed_while_the_group_stopped_makes_no_clean_report() {
        for shielded in [true, false] {
            let group = TaskGroup::new();
            let (begun, has_begun) = oneshot::channel();
            group.spawn("flush", move |stop| async move {
                begun.send(()).unwrap();
                stop.token().await;
                if shielded {
                    shield_for(SOON, pending::<()>()).await
                } else {
                    timeout(SOON, &Token::never(), |_| pending::<()>()).await
                }
            });
            has_begun.await.unwrap();
            let report = group.stop(PATIENCE).await;
            assert!(!report.is_clean(), "{report}");
            let Outcome::Failed(error) = report.outcomes()[0].outcome() else { panic!("{report}") };
            assert_eq!(desist::find_cancelled(&**error).unwrap().reason(), Reason::Deadline);
        }
    }

    /// However it comes back: by a child, a joined token, as the cause of another.
    async fn the_stop_is_known_whichever_way_it_comes_back() {
        let request = Source::new();
        let group = TaskGroup::under(request.token());
        group.spawn("below", |stop| async move { let below = stop.token().child();
            Err::<(), _>(below.token().await) });
        group.spawn("joined", |stop| async move {
            Err::<(), _>(Token::any([stop.token(), &Source::new().token()]).await)
        });
        group.spawn("passed on", |stop| async move {
            let own = Source::new();
            own.cancel_with(stop.token().await);
            own.token().check()
        });
        group.spawn("as io", |stop| async move {
            Err::<(), _>(std::io::Error::from(stop.token().await))
        });
        tokio::task::yield_now().await;
        request.cancel();
        for ended in group.join().await {
            let stopped = matches!(
                ended.outcome(),
                Outcome::Cancelled(_) | Outcome::CancelledBeforeStart(_)
            );
            assert!(stopped, "{ended}");
        }
    }

    async fn who_stops_because_of_the_token_around_him_has_not_failed() {
        let group = TaskGroup::new();
        let scope = Source::new();
        let (begun, has_begun) = oneshot::channel();
        with_current(scope.token(), async {
            group.spawn("heeds", |_| async move {
                begun.send(()).unwrap();
                Err::<(), _>(current().await)
            });
        })
        .await;
        has_begun.await.unwrap();
        scope.cancel_with(Reason::Disconnected);
        let ended = group.next().await.unwrap();
        assert!(matches!(ended.outcome(), Outcome::Cancelled(why) if why.reason() == Reason::Disconnected), "{ended}");
        assert!(!group.signal().is_cancelled());
    }

    /// Also of its own, which nobody awaits.
    async fn a_wait_fails_by_what_was_overdue_or_lost() {
        let group = TaskGroup::new();
        group.spawn("task", |_| async { shield_for(SOON, pending::<()>()).detach() });
        let failed = group.wait().await.unwrap_err();
        assert_eq!(failed.to_string(), "task `shield` failed");
        assert_eq!(failed.into_error().to_string(), "its bound was over before it was done");
        let gone = common::current_thread();
        let group = TaskGroup::new();
        let handle = gone.handle().clone();
        std::thread::spawn(|| drop(gone)).join().unwrap();
        {
            let _inside = handle.enter();
            group.spawn("lost", |_| async {});
        }
        group.cancel();
        let failed = group.wait().await.unwrap_err();
        assert_eq!(failed.into_error().to_string(), "its runtime was shut down");
    }

    /// Of several tokens around it each counts, whichever was first.
    async fn whichever_of_the_tokens_around_it_stopped_it_is_no_failure() {
        let (first, second) = (Source::new(), Source::new());
        let group = TaskGroup::new();
        let (obeyed, begun) = (second.token(), oneshot::channel());
        let scope = with_current(first.token(), async {
            group.spawn("heeds", |_| async move {
                begun.0.send(()).unwrap();
                Err::<(), _>(obeyed.await)
            });
        });
        with_current(second.token(), scope).await;
        begun.1.await.unwrap();
        first.cancel();
        second.cancel_with(Reason::Disconnected);
        let ended = group.next().await.unwrap();
        assert!(matches!(ended.outcome(), Outcome::Cancelled(_)), "{ended}");
    }
}
