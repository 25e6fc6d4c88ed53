//! What the server needs for a NOTIFY, with nothing around it.

use std::future::poll_fn;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

/// One that sends, and one that hears.
pub(crate) struct Notified {
    sends: Client,
    _listens: Client,
    heard: mpsc::UnboundedReceiver<()>,
}

impl Notified {
    pub(crate) async fn open(config: &Config) -> Self {
        let (sends, connection) = config.connect(NoTls).await.expect("a connection");
        tokio::spawn(connection);
        let (listens, mut connection) = config.connect(NoTls).await.expect("a connection");
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) && tell.send(()).is_err() {
                    return;
                }
            }
        });
        listens.batch_execute("LISTEN bare").await.expect("it listens");
        Self { sends, _listens: listens, heard }
    }

    /// Milliseconds.
    pub(crate) async fn measure(&mut self) -> f64 {
        let begin = Instant::now();
        self.sends.batch_execute("NOTIFY bare").await.expect("it is sent");
        self.heard.recv().await.expect("it is heard");
        begin.elapsed().as_secs_f64() * 1e3
    }
}
