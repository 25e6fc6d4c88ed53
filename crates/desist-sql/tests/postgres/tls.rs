//! The same over TLS, in which nobody sees what goes over the wire but from within.
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::common::{
    Cable, Later, PATIENCE, Postgres, a_late_cancel_hits_nobody_else, in_time, running, runs,
};
use desist::{Source, Token};
use desist_sql::postgres::{Pool, RawStream};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

fn connector(trusted: &CertifiedKey<rcgen::KeyPair>) -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    // Named, for a default fails where some other crate brings in a second one.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

async fn is_encrypted(pool: &Pool) -> bool {
    let asks = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let never = Token::never();
    let row = pool.run(&never, |conn| async move { conn.query_one(asks, &[]).await });
    in_time(row).await.unwrap().get(0)
}

fn start() -> Option<(Postgres, CertifiedKey<rcgen::KeyPair>)> {
    let key = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = [("server.crt", key.cert.pem()), ("server.key", key.signing_key.serialize_pem())];
    let files = [("server.crt", files[0].1.as_str()), ("server.key", files[1].1.as_str())];
    let settings =
        [("ssl", "on"), ("ssl_cert_file", "../server.crt"), ("ssl_key_file", "../server.key")];
    Some((Postgres::start_with(&files, &settings)?, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_stop_over_tls() {
    let Some((server, key)) = start() else { return };
    let admin = server.client().await;
    for mode in ["require", "prefer"] {
        let address = server.tcp().replace("127.0.0.1", "localhost");
        let config = format!("{address} hostaddr=127.0.0.1 sslmode={mode}").parse().unwrap();
        let pool = Pool::builder(config).size(1).tls(connector(&key)).build().unwrap();
        assert!(is_encrypted(&pool).await);
        for by_drop in [false, true] {
            let mark = format!("{mode} {by_drop}");
            let source = Source::new();
            let (token, of_work) = (source.token(), pool.clone());
            let statement = format!("SELECT pg_sleep(600) /*{mark}*/");
            let work = tokio::spawn(async move {
                of_work
                    .run(&token, |conn| async move { conn.batch_execute(&statement).await })
                    .await
            });
            runs(&admin, &mark).await;
            if by_drop {
                work.abort();
                assert!(work.await.unwrap_err().is_cancelled());
            } else {
                source.cancel();
                assert!(in_time(work).await.unwrap().unwrap_err().cancelled().is_some());
                assert_eq!(running(&admin, &mark).await, 0);
            }
            // On the same connection, which was not thrown away.
            let never = Token::never();
            let next =
                pool.run(&never, |conn| async move { conn.query_one("SELECT 7", &[]).await });
            assert_eq!(in_time(next).await.unwrap().get::<_, i32>(0), 7);
            assert_eq!(running(&admin, &mark).await, 0);
        }
        assert!(in_time(pool.close_within(PATIENCE)).await);
    }
    // A server that is not who it says it is is none.
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let address = server.tcp().replace("127.0.0.1", "localhost");
    let config = format!("{address} hostaddr=127.0.0.1 sslmode=require").parse().unwrap();
    let pool = Pool::builder(config).size(1).tls(connector(&other)).build().unwrap();
    let never = Token::never();
    let refused = pool.run(&never, |_conn| async { Ok::<_, tokio_postgres::Error>(()) });
    assert!(in_time(refused).await.is_err());
}

/// TLS of which nobody hears of the end of the socket, as some libraries have it.
#[derive(Clone)]
struct Aloof(MakeRustlsConnect);

struct AloofStream<S>(S);

type Connect = <MakeRustlsConnect as MakeTlsConnect<RawStream>>::TlsConnect;
type Stream = <MakeRustlsConnect as MakeTlsConnect<RawStream>>::Stream;

struct AloofConnect(Connect);

impl MakeTlsConnect<RawStream> for Aloof {
    type Stream = AloofStream<Stream>;
    type TlsConnect = AloofConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<RawStream>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<AloofConnect, Self::Error> {
        MakeTlsConnect::<RawStream>::make_tls_connect(&mut self.0, host).map(AloofConnect)
    }
}

impl TlsConnect<RawStream> for AloofConnect {
    type Stream = AloofStream<Stream>;
    type Error = <Connect as TlsConnect<RawStream>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: RawStream) -> Self::Future {
        let connects = self.0.connect(stream);
        Box::pin(async move { Ok(AloofStream(connects.await?)) })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AloofStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AloofStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: TlsStream + Unpin> TlsStream for AloofStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// Whatever a connector makes of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_takes_its_time_hits_nobody_else_over_tls() {
    let Some((server, key)) = start() else { return };
    let cable = Cable::with(server.port(), Later::Late(Duration::from_millis(30))).await;
    let address = cable.address().replace("127.0.0.1", "localhost");
    let config: Config = format!("{address} hostaddr=127.0.0.1 sslmode=require").parse().unwrap();
    for aloof in [false, true] {
        let builder = Pool::builder(config.clone()).size(1);
        let pool = match aloof {
            false => builder.tls(connector(&key)),
            true => builder.tls(Aloof(connector(&key))),
        };
        let pool = pool.build().unwrap();
        assert!(is_encrypted(&pool).await);
        for _ in 0..5 {
            a_late_cancel_hits_nobody_else(&pool, "SELECT pg_sleep(0.1)").await;
        }
    }
}

/// With a connector, and a server that has no TLS.
#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_only_preferred_it_is_done_without() {
    let Some(server) = Postgres::shared() else { return };
    let key = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = format!("{} sslmode=prefer", server.tcp()).parse().unwrap();
    let pool = Pool::builder(config).size(1).tls(connector(&key)).build().unwrap();
    assert!(!is_encrypted(&pool).await);
    // And over a socket of the system there is none.
    let config = format!("{} sslmode=prefer", server.address()).parse().unwrap();
    let pool = Pool::builder(config).size(1).tls(connector(&key)).build().unwrap();
    assert!(!is_encrypted(&pool).await);
}
