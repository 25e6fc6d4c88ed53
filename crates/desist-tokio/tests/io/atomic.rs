//! A file is there whole, or not at all: after a stop, a failure, a kill.
#![allow(clippy::print_stdout)] // The process that writes says how far it is.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use desist::testing::every_checkpoint_async;
use desist::{Cancelled, Reason, Source, Token, find_cancelled};
use desist_tokio::io::{AtomicFile, copy};
use tokio::io::AsyncWriteExt;

use super::on_both;
use crate::common::{self, Count, Folder, poll_once};

const OLD: &[u8] = b"the old one";

fn with_old() -> (Folder, PathBuf) {
    let folder = common::folder();
    let path = folder.path().join("target");
    fs::write(&path, OLD).unwrap();
    (folder, path)
}

fn new(size: usize) -> Vec<u8> {
    (0..size).map(|place| b"the new one, "[place % 13]).collect()
}

on_both! {
    async fn it_is_there_when_it_is_committed_and_not_before() {
        let (folder, path) = with_old();
        let mut file = AtomicFile::create(&path, &Token::never()).await.unwrap();
        assert_eq!(file.target(), path.canonicalize().unwrap());
        file.write_all(&new(100_000)).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), OLD);
        assert_eq!(folder.names().len(), 2, "it is beside the target: {:?}", folder.names());
        file.commit().await.unwrap();
        assert!(fs::read(&path).unwrap() == new(100_000));
        assert_eq!(folder.names(), ["target"]);
    }

    async fn one_that_did_not_exist_is_made() {
        let folder = common::folder();
        let path = folder.path().join("target");
        let file = AtomicFile::create(&path, &Token::never()).await.unwrap();
        assert!(!path.exists());
        file.commit().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    async fn dropped_it_leaves_everything_as_it_was() {
        let (folder, path) = with_old();
        let mut file = AtomicFile::create(&path, &Token::never()).await.unwrap();
        file.write_all(&new(1_000_000)).await.unwrap();
        drop(file);
        assert_eq!(folder.names(), ["target"]);
        assert_eq!(fs::read(&path).unwrap(), OLD);
    }

    async fn a_stop_at_any_point_leaves_the_old_file_or_the_new_one() {
        let whole = Count::new();
        let run = |token: Token| {
            let whole = whole.clone();
            async move {
                let (folder, path) = with_old();
                let written = async {
                    let mut file = AtomicFile::create(&path, &token).await?;
                    for piece in new(50_000).chunks(10_000) {
                        file.write_all(piece).await?;
                    }
                    file.commit().await
                };
                let written = written.await;
                let found = fs::read(&path).unwrap();
                match written {
                    Ok(()) => {
                        whole.add();
                        assert!(found == new(50_000));
                    }
                    Err(error) => {
                        assert!(find_cancelled(&error).is_some(), "{error}");
                        assert_eq!(found, OLD, "whoever is told of a stop finds the old file");
                    }
                }
                // Of the commit that was given up in the middle the rest comes by itself.
                common::until("nothing is left beside", || folder.names() == ["target"]).await;
            }
        };
        let checkpoints = every_checkpoint_async(run).await;
        assert!(checkpoints > 5 && whole.get() > 0, "{checkpoints}");
    }

    /// Dropped after every number of polls.
    async fn a_commit_that_is_dropped_at_any_poll_leaves_the_old_file_or_the_new_one() {
        for polls in 0.. {
            let (folder, path) = with_old();
            let mut file = AtomicFile::create(&path, &Token::never()).await.unwrap();
            file.write_all(&new(100_000)).await.unwrap();
            let mut committed = false;
            {
                let mut commit = pin!(file.commit());
                for _ in 0..polls {
                    if poll_once(commit.as_mut()).is_ready() {
                        committed = true;
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            common::until("nothing is left beside", || folder.names() == ["target"]).await;
            let found = fs::read(&path).unwrap();
            assert!(found == new(100_000) || !committed && found == OLD);
            if committed {
                assert!(polls > 1, "it waits somewhere");
                return;
            }
        }
    }

    /// The one and the other again and again, and both come first at times: the stop after
    /// up to twice the time that the last commit took which was not stopped.
    async fn whoever_is_told_of_a_stop_finds_the_old_file() {
        let (mut stopped, mut whole) = (0, 0);
        let mut takes = Duration::from_millis(1);
        for round in 0..120_u32 {
            let (folder, path) = with_old();
            let source = Source::new();
            let mut file = AtomicFile::create(&path, &source.token()).await.unwrap();
            file.write_all(b"new").await.unwrap();
            let begin = Instant::now();
            let stops = std::thread::spawn(move || {
                while begin.elapsed() < takes * (round % 40) / 20 {
                    std::thread::yield_now();
                }
                source.cancel();
            });
            let committed = file.commit().await;
            let took = begin.elapsed();
            stops.join().unwrap();
            let found = fs::read(&path).unwrap();
            match committed {
                Ok(()) => (whole, takes) = (whole + 1, took),
                Err(_) => stopped += 1,
            }
            assert_eq!(found, if committed.is_ok() { b"new" } else { OLD });
            common::until("nothing is left beside", || folder.names() == ["target"]).await;
            // Neither of them changes it later.
            assert_eq!(fs::read(&path).unwrap(), found);
        }
        assert!(stopped > 0 && whole > 0, "all on one side: {stopped} stopped, {whole} whole");
    }

    /// As every other error of a stop.
    async fn a_commit_after_the_stop_says_why_it_came() {
        let (folder, path) = with_old();
        let source = Source::new();
        let mut file = AtomicFile::create(&path, &source.token()).await.unwrap();
        source.cancel();
        assert!(file.write_all(b"new").await.is_err());
        assert!(find_cancelled(&file.commit().await.unwrap_err()).is_some());
        assert_eq!((fs::read(&path).unwrap().as_slice(), folder.names()), (OLD, vec!["target".into()]));
    }

    async fn a_begin_that_waits_for_a_thread_obeys_its_token() {
        let gate = common::Gate::default();
        let closed = gate.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ended = std::thread::spawn(move || {
            runtime.block_on(async move {
                let held = tokio::task::spawn_blocking(move || closed.block());
                let (folder, path) = with_old();
                let source = Source::new();
                let token = source.token();
                {
                    let mut begun = pin!(AtomicFile::create(&path, &token));
                    assert!(poll_once(begun.as_mut()).is_pending());
                    source.cancel();
                    assert!(find_cancelled(&begun.await.unwrap_err()).is_some());
                }
                gate.open();
                held.await.unwrap();
                tokio::task::spawn_blocking(|| {}).await.unwrap();
                assert_eq!(folder.names(), ["target"]);
            });
        });
        ended.join().unwrap();
    }

    /// The new file's owner is another.
    async fn what_lends_rights_is_not_kept_and_a_secret_is_one_from_the_begin() {
        let (folder, path) = with_old();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6700)).unwrap();
        let file = AtomicFile::create(&path, &Token::never()).await.unwrap();
        let names = folder.names();
        let aside = names.iter().find(|name| *name != "target").unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(aside), 0o700);
        file.commit().await.unwrap();
        assert_eq!(mode("target"), 0o700);
    }

    /// What the group may is for that group alone.
    async fn the_group_is_kept_or_may_nothing() {
        use std::os::unix::fs::{MetadataExt, chown};
        let (_folder, path) = with_old();
        let own = fs::metadata(&path).unwrap().gid();
        // Only root, or a member, may give it away: else the groups are the same already.
        let other = if chown(&path, None, Some(own + 7)).is_ok() { own + 7 } else { own };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        AtomicFile::create(&path, &Token::never()).await.unwrap().commit().await.unwrap();
        let new = fs::metadata(&path).unwrap();
        assert_eq!((new.gid(), new.mode() & 0o777), (other, 0o664));
    }

    async fn a_source_that_fails_in_the_middle_leaves_the_old_file() {
        use tokio::io::AsyncReadExt;
        let (folder, path) = with_old();
        let mut file = AtomicFile::create(&path, &Token::never()).await.unwrap();
        let torn = torn();
        let error = copy((&new(100_000)[..]).chain(torn), &mut file, &Token::never(), |_| {}).await;
        assert_eq!(error.unwrap_err().bytes(), 100_000);
        drop(file);
        assert_eq!((fs::read(&path).unwrap().as_slice(), folder.names()), (OLD, vec!["target".into()]));
    }

    async fn a_stop_before_makes_no_file() {
        let (folder, path) = with_old();
        let token = Token::cancelled_with(Reason::Overload);
        let error = AtomicFile::create(&path, &token).await.unwrap_err();
        assert_eq!(find_cancelled(&error).map(Cancelled::reason), Some(Reason::Overload));
        assert_eq!(folder.names(), ["target"]);
    }

    async fn what_cannot_be_made_says_which_file_and_why() {
        let folder = common::folder();
        let token = Token::never();
        let lost = folder.path().join("no such folder/target");
        let error = AtomicFile::create(&lost, &token).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().ends_with("cannot be made"), "{error}");
        assert!(error.to_string().contains("no such folder/.target"), "{error}");
        for no_file in [folder.path(), Path::new("/dev/full")] {
            let error = AtomicFile::create(no_file, &token).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().ends_with("cannot be replaced"), "{error}");
        }
        for no_name in [Path::new("/"), &folder.path().join("new/")] {
            let error = AtomicFile::create(no_name, &token).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        assert!(folder.names().is_empty());
    }

    async fn a_link_goes_on_leading_there_and_permissions_are_kept() {
        let (folder, path) = with_old();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = folder.path().join("link");
        symlink("target", &link).unwrap();
        let mut file = AtomicFile::create(&link, &Token::never()).await.unwrap();
        file.write_all(b"new").await.unwrap();
        file.commit().await.unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("target"));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // And one that leads nowhere is replaced itself.
        fs::remove_file(&path).unwrap();
        AtomicFile::create(&link, &Token::never()).await.unwrap().commit().await.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
    }

    async fn a_name_as_long_as_a_name_can_be_is_written() {
        let folder = common::folder();
        let path = folder.path().join("n".repeat(255));
        AtomicFile::create(&path, &Token::never()).await.unwrap().commit().await.unwrap();
        assert_eq!(folder.names().len(), 1);
        assert!(path.exists());
    }

    /// Two at once do not meet; the last to commit stays.
    async fn several_for_one_target_are_each_whole() {
        let (folder, path) = with_old();
        let mut both = Vec::new();
        for byte in [b'a', b'b'] {
            let mut file = AtomicFile::create(&path, &Token::never()).await.unwrap();
            file.write_all(&vec![byte; 100_000]).await.unwrap();
            both.push(file);
        }
        for file in both {
            file.commit().await.unwrap();
        }
        assert!(fs::read(&path).unwrap() == vec![b'b'; 100_000]);
        assert_eq!(folder.names(), ["target"]);
    }
}

/// A reader that is torn at once.
fn torn() -> impl tokio::io::AsyncRead + Unpin {
    use std::pin::Pin;
    use std::task::{Context, Poll};
    struct Torn;
    impl tokio::io::AsyncRead for Torn {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
        }
    }
    Torn
}

const ROLE: &str = "DESIST_ATOMIC_ROLE";
const TARGET: &str = "DESIST_ATOMIC_TARGET";

/// This test again, as a process that writes and writes, one size after the other.
fn writer(role: &str, target: &Path) -> Command {
    let mut command = Command::new("sh");
    // A limit on the size of files is an error, and no signal, only where that is set.
    let script =
        "trap '' XFSZ; test \"$DESIST_ATOMIC_ROLE\" != limited || ulimit -f 64; exec \"$@\"";
    command
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "atomic::the_writer", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(TARGET, target)
        .stdin(Stdio::null());
    command
}

#[test]
fn the_writer() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let target = PathBuf::from(std::env::var_os(TARGET).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for size in 0.. {
            let written = async {
                let mut file = AtomicFile::create(&target, &Token::never()).await?;
                // Every file is of one letter, and as long as it says.
                let bytes = vec![b'a' + (size % 26) as u8; 1_000 + size * 331];
                file.write_all(bytes.len().to_string().as_bytes()).await?;
                file.write_all(&bytes).await?;
                let flushed = file.flush().await;
                // A failure is told once, and the commit remembers it.
                let committed = file.commit().await;
                if flushed.is_err() {
                    let error = committed.as_ref().unwrap_err().to_string();
                    assert!(error.ends_with("target is not replaced"), "{error}");
                }
                flushed.and(committed)
            };
            if let Err(error) = written.await {
                assert_eq!(role, "limited");
                println!("\nfailed: {:?}: {error}", error.kind());
                std::process::exit(0);
            }
            if size == 0 {
                println!("\nwrites");
                io::stdout().flush().unwrap();
            }
        }
    });
}

/// Whole: the length that it says, of one letter.
fn assert_whole(path: &Path) {
    let found = fs::read_to_string(path).expect("it is there");
    let letters = found.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let says: usize = found[..found.len() - letters.len()].parse().expect("it says how long it is");
    assert_eq!(letters.len(), says);
    let first = letters.chars().next().unwrap();
    assert!(letters.chars().all(|letter| letter == first));
}

/// At many moments, early and late: the target is one of the files, whole.
#[test]
fn a_kill_at_any_moment_leaves_a_whole_file() {
    let folder = common::folder();
    let target = folder.path().join("target");
    let mut aside = 0;
    for round in 0..40_u32 {
        let mut child = writer("writes", &target).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.ends_with("writes\n") {
            use io::BufRead;
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended: {line}");
        }
        // From the middle of one file to the middle of the thirtieth.
        let pause = Duration::from_micros(u64::from(round * 977 % 40) * 500);
        let begin = Instant::now();
        while begin.elapsed() < pause {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_whole(&target);
        let left = folder.names().into_iter().filter(|name| name != "target");
        for name in left {
            assert!(name.starts_with(".target.") && name.ends_with(".tmp"), "{name}");
            fs::remove_file(folder.path().join(name)).unwrap();
            aside += 1;
        }
    }
    assert!(aside > 0, "not once was it killed in the middle of a file");
}

/// The disk is full, as far as the process can tell.
#[test]
fn a_file_that_may_not_grow_any_further_is_an_error_and_leaves_the_last_one() {
    let folder = common::folder();
    let target = folder.path().join("target");
    let output = writer("limited", &target).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("failed: FileTooLarge"), "{said}");
    assert_whole(&target);
    assert_eq!(folder.names(), ["target"]);
}

/// Nothing is left open, whichever way it ends.
#[test]
#[cfg(target_os = "linux")]
fn it_leaves_no_descriptor() {
    let runtime = common::current_thread();
    runtime.block_on(async {
        for _ in 0..400 {
            let (_folder, path) = with_old();
            let source = Source::new();
            let mut file = AtomicFile::create(&path, &source.token()).await.unwrap();
            file.write_all(b"new").await.unwrap();
            source.cancel();
            assert!(file.commit().await.is_err());
            let _ = AtomicFile::create(path.join("below"), &Token::never()).await.unwrap_err();
            AtomicFile::create(&path, &Token::never()).await.unwrap().commit().await.unwrap();
        }
    });
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 300, "{open} descriptors are open");
}
