//! Streams whose waits end with the stop.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use desist::testing::every_checkpoint_async;
use desist::{Cancelled, Reason, Source, Token, find_cancelled};
use desist_tokio::io::{Checked, Interruptible, OrCancelled};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use super::on_both;
use crate::common::{self, PATIENCE, poll_once};

fn cause(error: &io::Error) -> Reason {
    find_cancelled(error).map(Cancelled::reason).unwrap_or_else(|| panic!("no stop: {error}"))
}

on_both! {
    async fn a_read_that_waits_ends_and_later_ones_fail_at_once() {
        let (near, mut far) = tokio::io::duplex(64);
        let source = Source::new();
        let mut stream = OrCancelled::new(near, &source.token());
        {
            let mut read = pin!(stream.read_u8());
            assert!(poll_once(read.as_mut()).is_pending());
            source.cancel_with(Reason::Shutdown);
            assert_eq!(cause(&read.await.unwrap_err()), Reason::Shutdown);
        }
        far.write_all(b"x").await.unwrap();
        assert_eq!(cause(&stream.read_u8().await.unwrap_err()), Reason::Shutdown);
        assert_eq!(cause(&stream.write_u8(1).await.unwrap_err()), Reason::Shutdown);
        assert_eq!(cause(&stream.flush().await.unwrap_err()), Reason::Shutdown);
        assert_eq!(cause(&stream.shutdown().await.unwrap_err()), Reason::Shutdown);
        // It was not taken, so it is still there.
        assert_eq!(stream.into_inner().read_u8().await.unwrap(), b'x');
    }

    async fn what_is_ready_in_the_moment_of_the_stop_is_given() {
        let (near, mut far) = tokio::io::duplex(64);
        let source = Source::new();
        let mut stream = OrCancelled::new(near, &source.token());
        {
            let mut read = pin!(stream.read_u8());
            assert!(poll_once(read.as_mut()).is_pending());
            far.write_all(b"x").await.unwrap();
            source.cancel();
            assert_eq!(read.await.unwrap(), b'x');
        }
        assert!(stream.read_u8().await.is_err());
    }

    async fn a_write_that_waits_ends() {
        let (near, _far) = tokio::io::duplex(4);
        let source = Source::new();
        let mut stream = OrCancelled::new(near, &source.token());
        let mut write = pin!(stream.write_all(b"more than it holds"));
        assert!(poll_once(write.as_mut()).is_pending());
        source.cancel_with(Reason::Overload);
        assert_eq!(cause(&write.await.unwrap_err()), Reason::Overload);
    }

    /// Two tasks wait on the same connection, each for its half.
    async fn both_halves_of_a_split_end() {
        let (near, _far) = tokio::io::duplex(4);
        let source = Source::new();
        let (mut reads, mut writes) = tokio::io::split(OrCancelled::new(near, &source.token()));
        let reads = tokio::spawn(async move { reads.read_u8().await.unwrap_err() });
        let writes = tokio::spawn(async move { writes.write_all(b"too much").await.unwrap_err() });
        tokio::task::yield_now().await;
        source.cancel_with(Reason::Shutdown);
        assert_eq!(cause(&reads.await.unwrap()), Reason::Shutdown);
        assert_eq!(cause(&writes.await.unwrap()), Reason::Shutdown);
    }

    async fn lines_that_were_read_are_not_lost() {
        let checkpoints = every_checkpoint_async(|token: Token| async move {
            let (mut far, near) = tokio::io::duplex(8);
            let writes = tokio::spawn(async move {
                for number in 0..20 {
                    far.write_all(format!("{number}\n").as_bytes()).await.unwrap();
                }
            });
            let mut stream = OrCancelled::new(tokio::io::BufReader::new(near), &token);
            let mut read = Vec::new();
            while matches!(stream.read_until(b'\n', &mut read).await, Ok(1..)) {}
            stream.into_inner().read_to_end(&mut read).await.unwrap();
            writes.await.unwrap();
            let expected: String = (0..20).map(|number| format!("{number}\n")).collect();
            assert_eq!(String::from_utf8(read).unwrap(), expected);
        })
        .await;
        assert!(checkpoints > 5, "{checkpoints}");
    }
}

/// A stream that has ended is asked once, and not again for the same answer.
#[tokio::test]
async fn an_end_is_taken_from_a_buffered_stream_once() {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    struct Once(u32);
    impl tokio::io::AsyncRead for Once {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            unreachable!("it is read by its buffer")
        }
    }
    impl tokio::io::AsyncBufRead for Once {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
            let this = self.get_mut();
            this.0 += 1;
            // After its end it never says anything again.
            if this.0 == 1 { Poll::Ready(Ok(&[])) } else { Poll::Pending }
        }
        fn consume(self: Pin<&mut Self>, _: usize) {}
    }
    let source = Source::new();
    let mut stream = OrCancelled::new(Once(0), &source.token());
    assert_eq!(stream.fill_buf().await.unwrap(), b"");
    {
        let mut deaf = pin!(stream.fill_buf());
        assert!(poll_once(deaf.as_mut()).is_pending());
        source.cancel_with(Reason::Shutdown);
        assert_eq!(cause(&deaf.await.unwrap_err()), Reason::Shutdown);
    }
    assert!(stream.fill_buf().await.is_err());
}

#[tokio::test]
async fn every_kind_of_operation_fails_after_the_stop() {
    use tokio::io::AsyncSeekExt;
    let token = Token::cancelled_with(Reason::Overload);
    let mut stream = OrCancelled::new(io::Cursor::new(vec![0; 8]), &token);
    assert_eq!(cause(&stream.seek(io::SeekFrom::Start(3)).await.unwrap_err()), Reason::Overload);
    let pieces = [io::IoSlice::new(b"ab"), io::IoSlice::new(b"cd")];
    assert_eq!(cause(&stream.write_vectored(&pieces).await.unwrap_err()), Reason::Overload);
    assert_eq!(stream.get_ref().position(), 0);
    let mut checked = Checked::new(io::Cursor::new(vec![0; 8]), &token);
    assert_eq!(cause(&io::BufRead::fill_buf(&mut checked).unwrap_err()), Reason::Overload);
    assert_eq!(
        cause(&io::Seek::seek(&mut checked, io::SeekFrom::Start(3)).unwrap_err()),
        Reason::Overload
    );
    assert_eq!(cause(&checked.write_vectored(&pieces).unwrap_err()), Reason::Overload);
    let mut into = [0; 2];
    let mut rooms = [io::IoSliceMut::new(&mut into)];
    assert_eq!(cause(&checked.read_vectored(&mut rooms).unwrap_err()), Reason::Overload);
}

#[test]
fn blocking_calls_are_checked_one_by_one() {
    let source = Source::new();
    let mut stream = Checked::new(io::Cursor::new(vec![7; 100]), &source.token());
    let mut chunk = [0; 10];
    stream.read_exact(&mut chunk).unwrap();
    stream.write_all(b"over").unwrap();
    source.cancel_with(Reason::LeaseLost);
    assert_eq!(cause(&stream.read(&mut chunk).unwrap_err()), Reason::LeaseLost);
    assert_eq!(cause(&stream.write(b"no").unwrap_err()), Reason::LeaseLost);
    assert_eq!(cause(&stream.flush().unwrap_err()), Reason::LeaseLost);
    assert_eq!(stream.into_inner().position(), 14, "nothing more was touched");
}

/// Waits in a thread of its own, is asked, and ends: pipes, sockets, terminals.
fn ends_when_asked(wait: impl FnOnce(&Token) -> io::Error + Send + 'static) {
    let source = Source::new();
    let token = source.token();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(wait(&token)));
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "it waits");
    source.cancel_with(Reason::Shutdown);
    let error = told.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(cause(&error), Reason::Shutdown);
}

#[test]
fn an_idle_read_of_a_socket_ends() {
    let (near, _far) = UnixStream::pair().unwrap();
    ends_when_asked(move |token| {
        Interruptible::new(near, token).unwrap().read(&mut [0; 8]).unwrap_err()
    });
}

#[test]
fn an_idle_read_of_a_pipe_ends() {
    let (near, _far) = common::pipe();
    ends_when_asked(move |token| {
        Interruptible::new(near, token).unwrap().read(&mut [0; 8]).unwrap_err()
    });
}

/// Both ends of one.
fn terminal() -> (std::os::fd::OwnedFd, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let terminal = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    (ours, terminal)
}

#[test]
fn an_idle_read_of_a_terminal_ends() {
    let (ours, terminal) = terminal();
    ends_when_asked(move |token| {
        Interruptible::new(terminal, token).unwrap().read(&mut [0; 8]).unwrap_err()
    });
    drop(ours);
}

/// Whoever asks for nothing gets it at once.
#[test]
fn nothing_is_read_or_written_without_a_wait() {
    let (near, _far) = UnixStream::pair().unwrap();
    let source = Source::new();
    let mut idle = Interruptible::new(near, &source.token()).unwrap();
    assert_eq!((idle.read(&mut []).unwrap(), idle.write(&[]).unwrap()), (0, 0));
    source.cancel();
    assert!(idle.read(&mut []).is_err() && idle.write(&[]).is_err() && idle.flush().is_err());
}

/// A terminal is ready for a byte, and waits for the rest.
#[test]
#[cfg(target_os = "linux")]
fn a_write_to_a_terminal_that_nobody_reads_ends() {
    let (ours, terminal) = terminal();
    ends_when_asked(move |token| {
        let mut terminal = Interruptible::new(terminal, token).unwrap();
        terminal.write_all(&vec![b'\n'; 4 << 20]).unwrap_err()
    });
    drop(ours);
}

/// The side of whoever has made it leads to the same terminal, and not to another.
#[test]
fn what_the_maker_of_a_terminal_writes_arrives_there() {
    let (ours, terminal) = terminal();
    let mut ours = Interruptible::new(ours, &Token::never()).unwrap();
    let mut terminal = Interruptible::new(terminal, &Token::never()).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut line = [0; 6];
        tell.send(terminal.read_exact(&mut line).map(|()| line))
    });
    ours.write_all(b"hello\n").unwrap();
    assert_eq!(&told.recv_timeout(PATIENCE).expect("it arrives").unwrap(), b"hello\n");
}

#[test]
fn a_write_that_nobody_reads_ends() {
    let (_far, near) = common::pipe();
    ends_when_asked(move |token| {
        let mut near = Interruptible::new(near, token).unwrap();
        // Larger than any pipe.
        near.write_all(&vec![0; 4 << 20]).unwrap_err()
    });
}

#[test]
fn what_goes_through_is_whole() {
    let (reads, writes) = common::pipe();
    let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_ne_bytes).collect();
    let source = Source::new();
    let mut writes = Interruptible::new(writes, &source.token()).unwrap();
    let mut reads = Interruptible::new(reads, &source.token()).unwrap();
    let sent = bytes.clone();
    let writes = thread::spawn(move || writes.write_all(&sent).unwrap());
    let mut read = Vec::new();
    reads.read_to_end(&mut read).unwrap();
    writes.join().unwrap();
    assert!(read == bytes);
}

/// What was there before the stop is read; the end of a stream is an end.
#[test]
fn an_end_is_an_end_and_a_stop_before_is_a_stop() {
    let (mut reads, writes) = UnixStream::pair().unwrap();
    drop(writes);
    let source = Source::new();
    let mut stream = Interruptible::new(&mut reads, &source.token()).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    source.cancel_with(Reason::Overload);
    assert_eq!(cause(&stream.read(&mut [0; 8]).unwrap_err()), Reason::Overload);
    // Born of a token that is cancelled it fails as well.
    let mut late = Interruptible::new(&mut reads, &source.token()).unwrap();
    assert_eq!(cause(&late.read(&mut [0; 8]).unwrap_err()), Reason::Overload);
}

/// Somebody has made it non-blocking: it waits all the same.
#[test]
fn one_that_does_not_block_is_waited_for() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut near = Interruptible::new(near, &Token::never()).unwrap();
    let reads = thread::spawn(move || {
        let mut read = [0; 2];
        near.read_exact(&mut read).map(|()| read)
    });
    far.write_all(b"h").unwrap();
    far.write_all(b"i").unwrap();
    assert_eq!(&reads.join().unwrap().unwrap(), b"hi");
}

#[test]
#[cfg(target_os = "linux")]
fn it_leaves_no_descriptor_and_no_callback() {
    let source = Source::new();
    let (near, _far) = UnixStream::pair().unwrap();
    // One stream for all, so that other tests beside this do not matter but by chance:
    // thousands would be seen.
    for _ in 0..5_000 {
        let stream = near.try_clone().unwrap();
        drop(Interruptible::new(stream, &source.token()).expect("it has its descriptors"));
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 1_000, "{open} descriptors are open");
}
