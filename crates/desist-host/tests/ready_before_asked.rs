//! What a host says of itself is true when it does what follows from it.

use std::sync::{Arc, mpsc};

use desist_host::{Host, News, Phase};

/// Whoever is asked to drain, or told of a phase, never sees a host that is still ready,
/// or not there yet. Often, for the moment is short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_in_a_phase_before_anybody_is_told() {
    for _ in 0..300 {
        let builder = Host::builder();
        let (handle, seen) = (builder.handle(), builder.handle());
        let of_news = builder.handle();
        let (tell, told) = mpsc::channel();
        let tell_asked = tell.clone();
        let running = Arc::new(tokio::sync::Notify::new());
        let is_running = Arc::clone(&running);
        let host = builder
            .service("http", move |stop| async move {
                stop.draining().await;
                let _ = tell_asked.send(("asked to drain", seen.phase()));
            })
            .on_news(move |news| {
                if matches!(news, News::Phase(Phase::Running)) {
                    let _ = tell.send(("told that it runs", of_news.phase()));
                    is_running.notify_one();
                }
            });
        let asks = async {
            running.notified().await;
            handle.stop()
        };
        let (report, _asked) = tokio::join!(host.run(), asks);
        assert!(report.is_clean(), "{report}");
        for (when, phase) in told.iter() {
            let is_so =
                if when == "asked to drain" { !phase.is_ready() } else { phase >= Phase::Running };
            assert!(is_so, "{when} of a host that is {phase}");
        }
    }
}
