//! A reader of the log: what was said before, then what is said. Who is too slow begins anew.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::broadcast::{self, Receiver};
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;

use super::{Line, Log};

/// What a reader is told.
pub(crate) enum Heard {
    /// The numbers of all work that runs now. It comes first, and again where lines were
    /// missed: of other work nobody needs to wait for an end.
    Running(Vec<u64>),
    /// A line of before.
    Before(Line),
    Now(Line),
}

pub(super) struct Reader {
    log: Log,
    first: VecDeque<Heard>,
    lines: BroadcastStream<Line>,
}

impl Reader {
    pub(super) fn new(log: Log) -> Self {
        let written = log.written();
        let lines: Receiver<Line> = match &written.readers {
            Some(readers) => readers.subscribe(),
            // At its end already: its sender is gone.
            None => broadcast::channel(1).1,
        };
        // Both under one lock with the subscription: nothing is missed between them.
        let running = Heard::Running(written.running.iter().copied().collect());
        let before = written.older.iter().chain(&written.recent);
        let before = before.cloned().map(Heard::Before);
        let first = std::iter::once(running).chain(before).collect();
        drop(written);
        Self { log, first, lines: BroadcastStream::new(lines) }
    }
}

impl Stream for Reader {
    type Item = Heard;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Heard>> {
        loop {
            if let Some(heard) = self.first.pop_front() {
                return Poll::Ready(Some(heard));
            }
            match ready!(Pin::new(&mut self.lines).poll_next(cx)) {
                Some(Ok(line)) => return Poll::Ready(Some(Heard::Now(line))),
                // Some were missed.
                Some(Err(_)) => *self = Self::new(self.log.clone()),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use desist::Token;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::log::{Asker, Entry};

    fn begin(log: &Log) -> Entry {
        Entry::begin(log, "work", Asker::called("a test"), Token::never())
    }

    #[tokio::test]
    async fn whoever_is_too_slow_learns_what_runs_and_what_was_said_last() {
        let log = Log::with_room(200, 8);
        let (first, second) = (begin(&log), begin(&log));
        let mut reader = Reader::new(log.clone());
        assert!(matches!(reader.next().await, Some(Heard::Running(all)) if all == [1, 2]));
        for _ in 0..2 {
            assert!(matches!(reader.next().await, Some(Heard::Before(_))));
        }
        first.finish();
        // More than waits for a reader.
        for _ in 0..8 {
            begin(&log).finish();
        }
        let Some(Heard::Running(all)) = reader.next().await else { panic!("it missed some") };
        assert_eq!(all, [2]);
        let said_before = 2 + 1 + 8 * 2;
        for _ in 0..said_before {
            assert!(matches!(reader.next().await, Some(Heard::Before(_))));
        }
        second.finish();
        let Some(Heard::Now(line)) = reader.next().await else { panic!("it is not over") };
        assert!(line.to_string().starts_with("#2 work finished after "), "{line}");
        log.close();
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn whatever_runs_is_told_from_its_begin_on_however_much_was_said_since() {
        let log = Log::with_room(6, 8);
        let long = begin(&log);
        for _ in 0..10 {
            begin(&log).finish();
        }
        let told = async |log: &Log| -> Vec<String> {
            let first = std::mem::take(&mut Reader::new(log.clone()).first);
            let before = first.into_iter().filter_map(|heard| match heard {
                Heard::Before(line) => line.to_string().split(" after").next().map(str::to_owned),
                _ => None,
            });
            before.collect()
        };
        let last = |from| {
            (from..=11).flat_map(|n| {
                [format!("#{n} work begun for a test"), format!("#{n} work finished")]
            })
        };
        let begun = "#1 work begun for a test".to_owned();
        let expected: Vec<_> = std::iter::once(begun.clone()).chain(last(9)).collect();
        assert_eq!(told(&log).await, expected);
        // And until its end is forgotten, too.
        long.finish();
        let end = "#1 work finished".to_owned();
        let mut expected =
            vec![begun, "#9 work begun for a test".to_owned(), "#9 work finished".to_owned()];
        expected.extend(last(10).chain([end]));
        assert_eq!(told(&log).await, expected);
        for _ in 0..3 {
            begin(&log).finish();
        }
        assert!(told(&log).await.iter().all(|line| !line.starts_with("#1 ")));
        assert!(log.written().older.is_empty());
    }
}
