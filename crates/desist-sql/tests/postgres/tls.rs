//! The same over TLS, in which nobody sees what goes over the wire but from within.
use std::sync::Arc;

use crate::common::{PATIENCE, Postgres, in_time, running, runs};
use desist::{Source, Token};
use desist_sql::postgres::Pool;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
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

#[tokio::test(flavor = "multi_thread")]
async fn statements_stop_over_tls() {
    let key = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = [("server.crt", key.cert.pem()), ("server.key", key.signing_key.serialize_pem())];
    let files = [("server.crt", files[0].1.as_str()), ("server.key", files[1].1.as_str())];
    let settings =
        [("ssl", "on"), ("ssl_cert_file", "../server.crt"), ("ssl_key_file", "../server.key")];
    let Some(server) = Postgres::start_with(&files, &settings) else { return };
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
