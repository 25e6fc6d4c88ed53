//! Foreign code that panics where nobody looks for it.

use std::error::Error;
use std::fmt;
use std::panic::panic_any;
use std::time::Duration;

use desist_host::{Host, Outcome};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

#[derive(Debug)]
struct Speechless;

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl Error for Speechless {}

#[tokio::test(start_paused = true)]
async fn an_error_whose_words_panic_is_a_failure_like_others() {
    let report = Host::builder().service("a", |_stop| async { Err(Speechless) }).run().await;
    assert_eq!((report.exit_code(), report.services()[0].outcome()), (1, Outcome::Failed));
    assert!(report.to_string().contains("an error whose words panic: no words"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_panics_when_it_is_dropped_is_a_panic_like_others() {
    let report = Host::builder()
        .service("other", |stop| async move {
            stop.token().await;
        })
        .service("a", |_stop| async { panic_any(Bomb) })
        .run()
        .await;
    assert_eq!(report.service("a").unwrap().outcome(), Outcome::Panicked);
    assert_eq!(report.service("other").unwrap().outcome(), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_panics_when_it_is_dropped_is_a_failure() {
    let host = Host::builder();
    let handle = host.handle();
    let report = host
        .service("a", move |_stop| async move {
            handle.stop();
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        })
        .run()
        .await;
    assert_eq!((report.exit_code(), report.services()[0].outcome()), (1, Outcome::Panicked));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_keeps_nobody_from_stopping() {
    let host = Host::builder();
    let handle = host.handle();
    let report = host
        .service("a", move |stop| async move {
            stop.token().on_cancel(|_| panic!("in a callback")).detach();
            handle.stop();
            stop.token().await;
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_hears_no_more_and_holds_nobody_up() {
    let report = Host::builder()
        .service("a", |_stop| async {})
        .on_news(|_| panic!("in a listener"))
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
}

/// It is left to its own thread, a second after the end. Real time: a thread is blocked.
#[tokio::test]
async fn a_listener_that_blocks_holds_the_end_up_by_a_second_and_no_more() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let began = std::time::Instant::now();
    let report = Host::builder()
        .service("a", |_stop| async {})
        .on_news(move |_| released.recv().unwrap_or_default())
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    drop(release);
}
