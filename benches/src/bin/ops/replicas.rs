//! One replica that asks, and another that runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use desist_ops::{BoxError, CancelRequest, Context, Kind, Operations, Store};
use desist_tokio::StopSource;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

pub(crate) struct Replicas<S> {
    asks: Operations<S>,
    /// When an operation began, and when its token was cancelled.
    began: Mutex<mpsc::UnboundedReceiver<Instant>>,
    heard: Mutex<mpsc::UnboundedReceiver<Instant>>,
    stop: StopSource,
    running: JoinHandle<()>,
}

impl<S: Store> Replicas<S> {
    pub(crate) async fn open<F: Future<Output = S>>(store: impl Fn() -> F) -> Self {
        let (tell_begun, began) = mpsc::unbounded_channel();
        let (tell_heard, heard) = mpsc::unbounded_channel();
        let waits = move |ctx: Context<S>, _: ()| {
            let (began, heard) = (tell_begun.clone(), tell_heard.clone());
            async move {
                began.send(Instant::now())?;
                let told = ctx.token().on_cancel(move |_| {
                    // Who asked may have left.
                    let _ = heard.send(Instant::now());
                });
                let why = ctx.token().cancelled().await;
                drop(told);
                Err::<(), BoxError>(why.into())
            }
        };
        let waits = Arc::new(waits);
        let open = |store: S| {
            let waits = Arc::clone(&waits);
            let at_once = |_: Context<S>, _: ()| async { Ok::<_, BoxError>(()) };
            Operations::builder(store)
                .kind(Kind::new("waits", move |ctx, input| waits(ctx, input)))
                .kind(Kind::new("at once", at_once).concurrency(64))
                .open()
        };
        let asks = open(store().await).await.expect("operations");
        let runs = open(store().await).await.expect("operations");
        let stop = StopSource::new();
        let runs = runs.run(&stop.stop());
        let running = tokio::spawn(async move { drop(runs.await) });
        Self { asks, began: Mutex::new(began), heard: Mutex::new(heard), stop, running }
    }

    async fn start(&self) -> (desist_ops::OperationId, f64) {
        let begin = Instant::now();
        let id = self.asks.start("waits", &()).await.expect("it is started").id();
        let began = self.began.lock().await.recv().await.expect("it begins");
        (id, began.duration_since(begin).as_secs_f64() * 1e3)
    }

    /// From the call of `cancel` until the token is cancelled elsewhere, in milliseconds.
    pub(crate) async fn cancelled(&self) -> f64 {
        let (id, _) = self.start().await;
        let begin = Instant::now();
        self.asks.cancel(id, CancelRequest::new()).await.expect("it is asked");
        let heard = self.heard.lock().await.recv().await.expect("it is heard");
        heard.duration_since(begin).as_secs_f64() * 1e3
    }

    pub(crate) async fn started(&self, rounds: usize) -> Vec<f64> {
        let mut all = Vec::new();
        for _ in 0..rounds {
            let (id, took) = self.start().await;
            all.push(took);
            self.asks.cancel(id, CancelRequest::new()).await.expect("it is asked");
            self.heard.lock().await.recv().await.expect("it is heard");
        }
        all
    }

    /// Of those that do nothing, from the first start to the last end.
    pub(crate) async fn throughput(&self, many: usize) -> f64 {
        let begin = Instant::now();
        let mut last = None;
        for _ in 0..many {
            last = Some(self.asks.start("at once", &()).await.expect("it is started").id());
        }
        if let Some(last) = last {
            self.asks.wait(last, Duration::from_secs(600)).await.expect("it ends");
        }
        many as f64 / begin.elapsed().as_secs_f64()
    }
}

impl<S> Drop for Replicas<S> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.running.abort();
    }
}
