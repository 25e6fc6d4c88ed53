//! Foreign code that panics where nobody looks for it.

use std::error::Error;
use std::fmt;
use std::panic::panic_any;
use std::time::Duration;

use desist_host::{BoxError, Host, OnFailure, Outcome, Restart, Service, Stop};

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

#[derive(Debug)]
struct NoSource;

impl fmt::Display for NoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no source")
    }
}

impl Error for NoSource {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        panic!("not even that")
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_sources_panic_is_a_panic_and_is_cleaned_up_after() {
    struct Fails(std::sync::Arc<std::sync::atomic::AtomicU32>);
    impl Service for Fails {
        async fn run(&mut self, _stop: Stop) -> Result<(), BoxError> {
            Err(NoSource.into())
        }

        async fn stop(&mut self) -> Result<(), BoxError> {
            // Ordering: it only counts.
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    }
    let cleaned = std::sync::Arc::default();
    let report = Host::builder()
        .add("a", Fails(std::sync::Arc::clone(&cleaned)))
        .on_failure(Restart::default().limit(1))
        .run()
        .await;
    assert_eq!(cleaned.load(std::sync::atomic::Ordering::Relaxed), 2, "{report}");
    assert_eq!(report.services()[0].outcome(), Outcome::Panicked);
    assert!(report.to_string().contains("panicked: not even that ("), "{report}");
}

/// As of a statement that is quoted whole.
#[tokio::test(start_paused = true)]
async fn an_error_of_a_megabyte_and_a_name_of_one_leave_a_table() {
    let long = "x".repeat(1 << 20);
    let error = long.clone();
    let report = Host::builder()
        .service(long, |_stop| async { Err::<(), _>(error) })
        .service("b", |stop| async move { stop.token().await })
        .run()
        .await;
    let table = report.to_string();
    let row = table.lines().find(|line| line.starts_with("b ")).unwrap();
    assert!(row.ends_with("stopped") && row.len() < 200, "{row}");
    assert!(table.lines().next().unwrap().len() < 400);
    assert!(table.lines().any(|line| line.len() > 1 << 20), "the error is there, whole");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_names_and_errors_moves_the_cursor() {
    let host = Host::builder()
        .service("a\u{1b}[2J\nb", |_stop| async { Err::<(), _>("\u{1b}[31m red\u{202e}") });
    let (tell, told) = std::sync::mpsc::channel();
    let report = host.on_news(move |news| tell.send(news.to_string()).unwrap()).run().await;
    let table = report.to_string();
    let lines = told.iter().chain(table.lines().map(ToOwned::to_owned));
    for line in lines {
        assert!(!line.contains(['\u{1b}', '\n', '\u{202e}']), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_programs_own_panic_hook_is_called_and_an_earlier_place_is_not_kept() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static HOOKED: AtomicU32 = AtomicU32::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() == Some(&"hooked") {
            // Ordering: it only counts.
            HOOKED.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    let report = Host::builder()
        .restartable("a", |_stop| async {
            let _seen = std::panic::catch_unwind(|| panic!("hooked"));
            std::panic::resume_unwind(Box::new("from elsewhere"))
        })
        .on_failure(OnFailure::StopHost)
        .run()
        .await;
    assert_eq!(HOOKED.load(Ordering::Relaxed), 1);
    assert!(report.to_string().contains("panicked: from elsewhere"), "{report}");
}
