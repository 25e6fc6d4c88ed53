use crate::common::sqlx::{pool, server, until};
use crate::recorder::sums;
use desist::{Source, Token};
use sqlx::Executor;

#[tokio::test(flavor = "multi_thread")]
async fn those_in_use_and_waiting_and_stopped_and_discarded_are_counted() {
    let Some(server) = server() else { return };
    let sums = sums("sqlx");
    let pool = pool(server, "counted", 1);
    let token = Token::never();
    let run = pool.run(&token, async |mut conn| {
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 0.0));
        let source = Source::new();
        let mut waits = Box::pin(pool.run(&source.token(), async |_| Ok::<_, sqlx::Error>(())));
        std::future::poll_fn(|cx| {
            assert!(waits.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 1.0));
        drop(waits);
        assert_eq!(sums.of("waiting"), 0.0);
        conn.execute("SELECT 1").await
    });
    run.await.unwrap();
    until("it is given back", async || sums.of("in_use") == 0.0).await;
    // One that was dropped as it waited.
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (1.0, 0.0));
    let late = Source::new();
    late.cancel();
    let late = pool.run(&late.token(), async |mut conn| conn.execute("SELECT 1").await);
    assert!(late.await.unwrap_err().cancelled().is_some());
    assert_eq!(sums.of("cancelled_total"), 2.0);

    let source = Source::new();
    let stopped = pool.run(&source.token(), async |mut conn| {
        source.cancel();
        conn.execute("SELECT pg_sleep(60)").await
    });
    assert!(stopped.await.unwrap_err().cancelled().is_some());
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (3.0, 0.0));

    let smuggled = pool.run(&token, async |conn| Ok::<_, sqlx::Error>(conn)).await.unwrap();
    assert_eq!(sums.of("in_use"), 1.0);
    drop(smuggled);
    until("it is closed", async || sums.of("in_use") == 0.0).await;
    assert_eq!(sums.of("discarded_total"), 1.0);

    let (begins, has_begun) = tokio::sync::oneshot::channel();
    let dropped = pool.run(&token, async |mut conn| {
        begins.send(()).unwrap();
        conn.execute("SELECT pg_sleep(60)").await
    });
    tokio::select! {
        _ = dropped => panic!("it takes a minute"),
        begun = has_begun => begun.unwrap(),
    }
    until("it is given back", async || sums.of("in_use") == 0.0).await;
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (4.0, 1.0));

    // Whoever waits for one has it as soon as it is back.
    let again = async || {
        for _ in 0..300 {
            pool.run(&token, async |_| Ok::<_, sqlx::Error>(())).await.unwrap();
        }
    };
    tokio::join!(again(), again());
    assert_eq!(sums.most_of("in_use"), 1.0, "there is but one");
}
