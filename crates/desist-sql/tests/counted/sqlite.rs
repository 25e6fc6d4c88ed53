use crate::recorder::sums;
use desist::{Source, Token};
use desist_sql::Wait;
use desist_sql::sqlite::Pool;
use tokio::sync::oneshot;

#[tokio::test]
async fn what_is_in_use_waits_is_stopped_and_thrown_away_is_counted() {
    let sums = sums("sqlite");
    let pool = Pool::builder().in_memory().readers(1).queue(2).open().await.unwrap();
    let never = Token::never();

    let (begun, begins) = oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let runs = tokio::spawn(pool.run(&never, move |_| {
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        Ok::<_, rusqlite::Error>(())
    }));
    begins.await.unwrap();
    let waits =
        |source: &Source| tokio::spawn(pool.run(&source.token(), |_| Ok::<_, rusqlite::Error>(())));
    let (stopped, stays) = (Source::new(), Source::new());
    let (stopped_one, staying_one) = (waits(&stopped), waits(&stays));
    while pool.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 2.0));
    // One that finds no room, one that waits, one that was stopped before.
    waits(&Source::new()).await.unwrap().unwrap_err();
    stopped.cancel();
    stopped_one.await.unwrap().unwrap_err();
    waits(&stopped).await.unwrap().unwrap_err();
    assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 1.0));
    assert_eq!(sums.of("cancelled_total"), 3.0);
    go_on.send(()).unwrap();
    runs.await.unwrap().unwrap();
    staying_one.await.unwrap().unwrap();

    // One that runs, and fails with the stop.
    let source = Source::new();
    let token = source.token();
    let running = pool.run(&source.token(), move |conn| {
        source.cancel();
        conn.query_row("SELECT 1", [], |_| Ok(()))
    });
    running.await.unwrap_err();
    assert!(token.is_cancelled());
    assert_eq!(sums.of("cancelled_total"), 4.0);

    assert_eq!(sums.of("discarded_total"), 0.0);
    let forgets = pool.run(&never, |conn| {
        let mut statement = conn.prepare("VALUES (1), (2)")?;
        let mut rows = statement.query([])?;
        rows.next()?;
        std::mem::forget(rows);
        std::mem::forget(statement);
        Ok::<_, rusqlite::Error>(())
    });
    forgets.await.unwrap();
    assert_eq!(sums.of("discarded_total"), 1.0);
    assert_eq!((sums.of("in_use"), sums.of("waiting")), (0.0, 0.0));

    // One that is told so at once, though its closure comes to a good end.
    let pool = Pool::builder().in_memory().readers(1).wait(Wait::AtOnce).open().await.unwrap();
    let source = Source::new();
    let (begun, begins) = oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let running = tokio::spawn(pool.run(&source.token(), move |_| {
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        Ok::<_, rusqlite::Error>(())
    }));
    begins.await.unwrap();
    source.cancel();
    assert!(running.await.unwrap().unwrap_err().cancelled().is_some());
    assert_eq!(sums.of("cancelled_total"), 5.0);
    go_on.send(()).unwrap();
    pool.close().await;
    assert_eq!(sums.of("cancelled_total"), 5.0, "once");
}
