//! A copy, and how far it came.

use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use desist::testing::every_checkpoint_async;
use desist::{Reason, Source, Token, find_cancelled};
use desist_tokio::io::{Side, copy};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::on_both;
use crate::common::{self, Count, poll_once};

/// Two ends of a connection on loopback.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (here, there) =
        (TcpStream::connect(listener.local_addr().unwrap()).await, listener.accept().await);
    (here.unwrap(), there.unwrap().0)
}

fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_ne_bytes).collect()
}

on_both! {
    async fn it_gives_how_many_bytes_there_were_and_tells_on_its_way() {
        let bytes = numbers(100_000);
        let mut target = Vec::new();
        let mut told = Vec::new();
        let token = Token::never();
        let copied = copy(&bytes[..], &mut target, &token, |progress| {
            assert_eq!(progress.total(), Some(400_000));
            told.push(progress.bytes());
        });
        assert_eq!(copied.total(400_000).await.unwrap(), 400_000);
        assert!(target == bytes);
        assert!(told.is_sorted() && told.len() > 5 && told.last() == Some(&400_000), "{told:?}");
    }

    async fn through_a_socket_and_a_file_it_is_the_same() {
        let folder = common::folder();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let bytes = numbers(300_000);
        std::fs::write(&from, &bytes).unwrap();
        let (here, there) = connection().await;
        let sends = tokio::spawn(async move {
            let file = tokio::fs::File::open(&from).await.unwrap();
            let token = Token::never();
            let mut here = here;
            let sent = copy(file, &mut here, &token, |_| {}).await.unwrap();
            here.shutdown().await.unwrap();
            sent
        });
        let file = tokio::fs::File::create(&to).await.unwrap();
        let received = copy(there, file, &Token::never(), |_| {}).await.unwrap();
        assert_eq!((sends.await.unwrap(), received), (1_200_000, 1_200_000));
        // What was written is flushed: it is there.
        assert!(std::fs::read(&to).unwrap() == bytes);
    }

    async fn one_that_waits_for_a_silent_peer_is_stopped() {
        let (here, mut there) = connection().await;
        let source = Source::new();
        let token = source.token();
        let mut target = Vec::new();
        there.write_all(b"begin").await.unwrap();
        let error = copy(here, &mut target, &token, |progress| {
            if progress.bytes() == 5 {
                source.cancel_with(Reason::Disconnected);
            }
        });
        let error = error.await.unwrap_err();
        assert_eq!((error.bytes(), error.side()), (5, None));
        assert_eq!(error.to_string(), "the copy was cancelled after 5 bytes");
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
        assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Disconnected);
        assert_eq!(target, b"begin");
    }

    /// Its peer takes nothing, so it waits in a write.
    async fn one_that_waits_for_a_full_peer_is_stopped() {
        let (mut here, mut there) = connection().await;
        let source = Source::new();
        let token = source.token();
        let error = {
            let mut stopped = pin!(copy(tokio::io::repeat(7), &mut here, &token, |_| {}));
            let mut before = String::new();
            while poll_once(stopped.as_mut()).is_pending() {
                let now = format!("{stopped:?}");
                if before == now {
                    break;
                }
                before = now;
                // The kernel moves what there is room for on the other side.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            source.cancel();
            stopped.await.unwrap_err()
        };
        assert!(error.cancelled().is_some() && error.bytes() > 0, "{error}");
        drop(here);
        let mut received = Vec::new();
        there.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len() as u64, error.bytes());
    }

    /// Both sides are always ready: nothing but the token ends it, and others get
    /// their turns.
    async fn one_that_never_waits_is_stopped_and_leaves_others_their_turn() {
        let source = Source::new();
        let asks = source.clone();
        let other = tokio::spawn(async move {
            tokio::task::yield_now().await;
            asks.cancel();
        });
        let token = source.token();
        let error = copy(tokio::io::repeat(7), tokio::io::sink(), &token, |_| {});
        assert!(error.await.unwrap_err().cancelled().is_some());
        other.await.unwrap();
    }

    async fn one_that_is_stopped_before_touches_nothing() {
        let mut reader = &b"1234"[..];
        let token = Token::cancelled_with(Reason::Shutdown);
        let mut target = Vec::new();
        let error = copy(&mut reader, &mut target, &token, |_| {}).await.unwrap_err();
        assert_eq!((error.bytes(), reader.len(), target.len()), (0, 4, 0));
    }

    async fn what_goes_through_before_the_stop_is_told_to_the_byte() {
        let bytes = numbers(5_000);
        let ended = Count::new();
        let run = |token: Token| {
            let (bytes, ended) = (bytes.clone(), ended.clone());
            async move {
                // A small pipe, so that there are many waits.
                let (mut near, mut far) = tokio::io::duplex(1_000);
                let drains = tokio::spawn(async move {
                    let mut target = Vec::new();
                    far.read_to_end(&mut target).await.unwrap();
                    target
                });
                let copied = copy(&bytes[..], &mut near, &token, |_| {}).await;
                drop(near);
                let target = drains.await.unwrap();
                let through = match copied {
                    Ok(all) => { ended.add(); all }
                    Err(error) => error.bytes(),
                };
                assert_eq!(through, target.len() as u64);
                assert!(bytes.starts_with(&target));
            }
        };
        let checkpoints = every_checkpoint_async(run).await;
        assert!(checkpoints > 20 && ended.get() == 1, "{checkpoints}");
    }

    async fn a_failure_says_which_side_and_how_far() {
        let bytes = numbers(1_000);
        let broken = (&bytes[..]).chain(Broken);
        let mut target = Vec::new();
        let error = copy(broken, &mut target, &Token::never(), |_| {}).await.unwrap_err();
        assert_eq!((error.bytes(), error.side()), (4_000, Some(Side::Read)));
        assert_eq!(error.to_string(), "reading failed after 4000 bytes");
        assert_eq!(error.source().unwrap().to_string(), "the tape is torn");
        assert!(error.cancelled().is_none());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidData);
        let mut small = io::Cursor::new(vec![0; 10].into_boxed_slice());
        let error = copy(&bytes[..], &mut small, &Token::never(), |_| {}).await.unwrap_err();
        assert_eq!((error.bytes(), error.side()), (10, Some(Side::Write)));
        assert_eq!(error.source().unwrap().to_string(), "the target takes no more bytes");
    }

    /// What was read before it goes out, although the writer makes it wait.
    async fn what_was_read_before_a_failure_goes_out() {
        let bytes = numbers(1_000);
        let (mut near, mut far) = tokio::io::duplex(100);
        let token = Token::never();
        let broken = (&bytes[..]).chain(Broken);
        let drains = tokio::spawn(async move {
            let mut read = Vec::new();
            while read.len() < 4_000 {
                assert!(far.read_buf(&mut read).await.unwrap() > 0);
            }
            read
        });
        let error = copy(broken, &mut near, &token, |_| {}).buffer(3_000).await.unwrap_err();
        assert_eq!((error.bytes(), error.side()), (4_000, Some(Side::Read)));
        assert!(drains.await.unwrap() == bytes);
    }

    /// Neither side gives way by itself.
    async fn others_have_their_turn_beside_one_that_never_waits() {
        struct Endless;
        impl AsyncRead for Endless {
            fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                let some = room.remaining().min(64);
                room.put_slice(&[7; 64][..some]);
                Poll::Ready(Ok(()))
            }
        }
        struct Swallows;
        impl AsyncWrite for Swallows {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(bytes.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let source = Source::new();
        let asks = source.clone();
        let other = tokio::spawn(async move { asks.cancel() });
        let token = source.token();
        let stopped = copy(Endless, Swallows, &token, |_| {}).await;
        assert!(stopped.unwrap_err().cancelled().is_some());
        other.await.unwrap();
    }

    async fn the_rate_is_of_the_time_from_the_first_poll() {
        let token = Token::never();
        let (mut rate, mut took) = (0.0, Duration::MAX);
        let copied = copy(&[0; 8_000][..], tokio::io::sink(), &token, |progress| {
            (rate, took) = (progress.rate(), progress.elapsed());
        });
        std::thread::sleep(Duration::from_millis(60));
        let polled = Instant::now();
        copied.await.unwrap();
        let around = polled.elapsed();
        assert!(took <= around && rate >= 8_000.0 / around.as_secs_f64(), "{rate}, {took:?}");
    }

    async fn a_full_disk_is_an_error_of_the_write() {
        let full = tokio::fs::OpenOptions::new().write(true).open("/dev/full").await.unwrap();
        let error = copy(&numbers(1_000)[..], full, &Token::never(), |_| {}).await.unwrap_err();
        assert_eq!(error.side(), Some(Side::Write));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    }

    /// A reader that obeys a token of its own: its stop is found.
    async fn the_stop_of_a_reader_is_told_from_a_failure() {
        let own = Token::cancelled_with(Reason::LeaseLost);
        let reader = desist_tokio::io::OrCancelled::new(&b"1234"[..], &own);
        let error = copy(reader, tokio::io::sink(), &Token::never(), |_| {}).await.unwrap_err();
        assert_eq!(error.side(), Some(Side::Read));
        assert_eq!(error.cancelled().unwrap().reason(), Reason::LeaseLost);
    }

    /// What was read is passed on before more is waited for.
    async fn a_dialogue_is_not_held_back() {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut asks, asked) = tokio::io::duplex(64);
        let token = Token::never();
        let buffered = tokio::io::BufWriter::new(near);
        let mut copies = pin!(copy(asked, buffered, &token, |_| {}));
        for _ in 0..3 {
            asks.write_all(b"ping").await.unwrap();
            assert!(poll_once(copies.as_mut()).is_pending());
            let mut answer = [0; 4];
            far.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"ping");
        }
        drop(asks);
        assert_eq!(copies.await.unwrap(), 12);
    }

    async fn an_end_without_a_byte_flushes_what_the_writer_held() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut buffered = tokio::io::BufWriter::new(near);
        buffered.write_all(b"before").await.unwrap();
        assert_eq!(copy(tokio::io::empty(), &mut buffered, &Token::never(), |_| {}).await.unwrap(), 0);
        let mut read = [0; 6];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"before");
    }

    async fn a_writer_that_lies_is_caught() {
        struct Liar;
        impl AsyncWrite for Liar {
            fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(bytes.len() + 1))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        let error = copy(&b"1234"[..], Liar, &Token::never(), |_| {}).await.unwrap_err();
        assert_eq!((error.side(), error.bytes()), (Some(Side::Write), 0));
    }
}

struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the tape is torn")))
    }
}

#[test]
#[should_panic(expected = "at least one byte")]
fn a_buffer_of_nothing_is_refused() {
    let token = Token::never();
    drop(copy(tokio::io::empty(), tokio::io::sink(), &token, |_| {}).buffer(0));
}
