//! What is known of a connection by looking at what goes over it.
//!
//! The driver does not say what a connection still owes: whoever drops the future of a
//! statement leaves it running. So the bytes are looked at, message by message, on both
//! sides: each request that the server will say it is ready after is owed from when it was
//! written to when that has come. What is read also tells who serves it, and whether a
//! transaction is open.
//!
//! Of a request that only closes a statement nothing is left running; it is owed *aside*. The
//! driver closes them whenever they are dropped, and nobody has to wait for that. To be parsed
//! is another matter: a statement waits there for the locks of its tables.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

/// A connection, as seen from outside.
pub(super) struct Wire {
    seen: Mutex<Seen>,
    /// The task that reads it; none before there is one. A task has one waker for life.
    reader: OnceLock<Waker>,
}

struct Seen {
    sent: Parts,
    came: Parts,
    owed: VecDeque<Owed>,
    /// Something was asked for, and not only closed, since the last message that is answered.
    works: bool,
    /// The end of what is copied was sent since.
    ends_copy: bool,
    /// The server takes what is copied, and answers nothing but its end.
    copies: bool,
    /// It took something since it was ready.
    has_copied: bool,
    /// It may answer once more than is known (see [`is_proven`](Wire::is_proven)).
    doubts: bool,
    status: Status,
    pid: i32,
    /// What the last statement that was completed says that it was.
    tag: Vec<u8>,
    /// A transaction was begun, or committed, or something done outside of one, since the pool's
    /// own began.
    has_turned: bool,
    /// The socket takes no more for now, so that not all of what was sent has been seen.
    is_blocked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// By a simple query.
    Query,
    /// By the end of an extended one.
    Sync,
    /// By the end of what is copied to the server.
    EndOfCopy,
    /// By one that only closes something.
    Aside,
    /// By a query that does nothing, and comes after all others.
    Last,
}

/// How a query begins that comes after all others.
pub(super) const LAST: &str = "/*desist*/";

/// What the server says when it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    InTransaction,
    /// In one of which a statement has failed.
    Failed,
}

/// A direction, taken apart into messages.
#[derive(Default)]
struct Parts {
    form: Form,
    head: Vec<u8>,
    /// Of the message's body, what has still to come.
    left: usize,
    /// Its beginning, as far as it is of interest.
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    /// A length, and no tag: how a client begins.
    Untagged,
    /// A single byte: whether the server speaks TLS.
    Byte,
    #[default]
    Tagged,
}

/// As much of a body as anybody looks at.
const KEPT: usize = 32;

/// What a statement says that commits a transaction, or begins one. One that rolls it back says
/// the same as one that goes back to a savepoint.
const TURNS: [&[u8]; 4] = [b"BEGIN", b"START TRANSACTION", b"COMMIT", b"PREPARE TRANSACTION"];

/// How a client asks for TLS.
const ASKS_FOR_TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();

impl Parts {
    fn of(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    fn head_length(&self) -> usize {
        match self.form {
            Form::Untagged => 4,
            Form::Byte => 1,
            Form::Tagged => 5,
        }
    }

    /// Takes the next message from the bytes, if it is there to its end; its tag, if it has
    /// one, and its beginning.
    fn next<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Option<(u8, &'a [u8])> {
        if self.head.is_empty() {
            // Most are there as a whole.
            if self.form == Form::Tagged
                && let Some((&[tag, a, b, c, d], rest)) = bytes.split_first_chunk()
                && let Some((body, rest)) = rest.split_at_checked(body_length([a, b, c, d]))
            {
                *bytes = rest;
                return Some((tag, &body[..body.len().min(KEPT)]));
            }
            self.body.clear();
        }
        let length = self.head_length();
        if self.head.len() < length {
            let (head, rest) = bytes.split_at(bytes.len().min(length - self.head.len()));
            self.head.extend_from_slice(head);
            *bytes = rest;
            if self.head.len() < length {
                return None;
            }
            self.left = match *self.head {
                [a, b, c, d] | [_, a, b, c, d] => body_length([a, b, c, d]),
                _ => 0,
            };
        }
        let (body, rest) = bytes.split_at(bytes.len().min(self.left));
        let kept = body.len().min(KEPT - self.body.len());
        self.body.extend_from_slice(&body[..kept]);
        self.left -= body.len();
        *bytes = rest;
        if self.left > 0 {
            return None;
        }
        let tag = if self.form == Form::Untagged { 0 } else { self.head[0] };
        self.head.clear();
        Some((tag, &self.body))
    }
}

/// As it is written, which counts itself.
fn body_length(written: [u8; 4]) -> usize {
    (u32::from_be_bytes(written) as usize).saturating_sub(4)
}

impl Wire {
    pub(super) fn new() -> Self {
        let seen = Seen {
            sent: Parts::of(Form::Untagged),
            came: Parts::of(Form::Tagged),
            owed: VecDeque::new(),
            works: false,
            ends_copy: false,
            copies: false,
            has_copied: false,
            doubts: false,
            status: Status::Idle,
            pid: 0,
            tag: Vec::new(),
            has_turned: false,
            is_blocked: false,
        };
        Self { seen: Mutex::new(seen), reader: OnceLock::new() }
    }

    /// What is to be read wakes that task, and nothing else does by the same waker.
    pub(super) fn is_read_by(&self, task: &Waker) {
        self.reader.get_or_init(|| task.clone());
    }

    /// Reads with that waker.
    pub(super) fn read_by<T>(
        &self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        match self.reader.get() {
            Some(task) => read(&mut Context::from_waker(task)),
            None => read(cx),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on it is looked at inside of TLS, where it begins once more.
    pub(super) fn begins_again(&self) {
        let mut seen = self.seen();
        (seen.sent, seen.came) = (Parts::of(Form::Untagged), Parts::of(Form::Tagged));
    }

    pub(super) fn has_sent(&self, mut bytes: &[u8]) {
        let seen = &mut *self.seen();
        seen.is_blocked = false;
        while !bytes.is_empty() {
            let form = seen.sent.form;
            let Some((tag, body)) = seen.sent.next(&mut bytes) else { return };
            if form == Form::Untagged {
                if body == ASKS_FOR_TLS {
                    seen.came.form = Form::Byte;
                } else {
                    seen.sent.form = Form::Tagged;
                }
                continue;
            }
            match tag {
                b'Q' if body.starts_with(LAST.as_bytes()) => seen.owed.push_back(Owed::Last),
                b'Q' | b'F' => seen.owed.push_back(Owed::Query),
                b'P' | b'B' | b'D' | b'E' => seen.works = true,
                b'c' | b'f' => seen.ends_copy = true,
                b'S' => seen.syncs(),
                _ => {}
            }
        }
    }

    pub(super) fn is_blocked(&self) {
        self.seen().is_blocked = true;
    }

    pub(super) fn has_come(&self, mut bytes: &[u8]) {
        let seen = &mut *self.seen();
        while !bytes.is_empty() {
            let form = seen.came.form;
            let Some((tag, body)) = seen.came.next(&mut bytes) else { return };
            if form == Form::Byte {
                seen.came.form = Form::Tagged;
                continue;
            }
            match tag {
                b'Z' => {
                    seen.owed.pop_front();
                    (seen.copies, seen.has_copied) = (false, false);
                    seen.status = match body {
                        b"T" => Status::InTransaction,
                        b"E" => Status::Failed,
                        _ => Status::Idle,
                    };
                    // Something was done when it had been rolled back.
                    seen.has_turned |= seen.status == Status::Idle && seen.tag != b"ROLLBACK";
                }
                b'G' if seen.owed.front() == Some(&Owed::Sync) => seen.takes_copy(),
                b'E' if seen.has_copied => seen.doubts = true,
                b'K' => {
                    if let Some(pid) = body.first_chunk() {
                        seen.pid = i32::from_be_bytes(*pid);
                    }
                }
                b'C' => {
                    let length = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
                    seen.tag.clear();
                    seen.tag.extend_from_slice(&body[..length]);
                    seen.has_turned |= TURNS.contains(&seen.tag.as_slice());
                }
                _ => {}
            }
        }
    }

    /// Nothing runs, as far as has been seen.
    pub(super) fn is_quiet(&self) -> bool {
        self.seen().is_quiet()
    }

    /// Something runs that came before the query after all others.
    pub(super) fn has_work(&self) -> bool {
        let seen = self.seen();
        let before = seen.owed.iter().take_while(|owed| **owed != Owed::Last);
        before.into_iter().any(|owed| *owed != Owed::Aside)
    }

    /// The same as `is_quiet`, no transaction is open, and there is no doubt of either.
    pub(super) fn is_idle(&self) -> bool {
        let seen = self.seen();
        seen.is_quiet() && seen.status == Status::Idle && !seen.doubts
    }

    /// The answer to a question has come, and to that question. A copy that fails in its very
    /// first moment has its end answered twice, which neither this nor the driver can know: who
    /// asks next would be given the answer of somebody else.
    pub(super) fn is_proven(&self) {
        self.seen().doubts = false;
    }

    pub(super) fn status(&self) -> Status {
        self.seen().status
    }

    /// Who serves it, as the server says it; behind a pooler it is nobody.
    pub(super) fn pid(&self) -> i32 {
        self.seen().pid
    }

    /// A transaction has begun, and is the pool's.
    pub(super) fn begins(&self) {
        self.seen().has_turned = false;
    }

    /// It may be another one by now.
    pub(super) fn has_turned(&self) -> bool {
        self.seen().has_turned
    }

    /// Whether the last statement says of itself that it was that.
    pub(super) fn last_was(&self, tag: &str) -> bool {
        self.seen().tag == tag.as_bytes()
    }
}

impl Seen {
    /// An extended query ends.
    fn syncs(&mut self) {
        let (works, ends_copy) = (take(&mut self.works), take(&mut self.ends_copy));
        match (works, ends_copy) {
            // The end of what began the copy is owed already.
            (false, true) if self.copies => self.copies = false,
            (_, true) => self.owed.push_back(Owed::EndOfCopy),
            (true, false) => self.owed.push_back(Owed::Sync),
            (false, false) => self.owed.push_back(Owed::Aside),
        }
    }

    /// While it is copied to the server, that passes over the end of the query which began it.
    /// So of this and the end of the copy only one is answered, whichever was sent by now.
    fn takes_copy(&mut self) {
        self.has_copied = true;
        if self.owed.get(1) == Some(&Owed::EndOfCopy) {
            self.owed.pop_front();
        } else {
            self.copies = true;
        }
    }

    fn is_quiet(&self) -> bool {
        !self.is_blocked && self.owed.iter().all(|owed| *owed == Owed::Aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn started() -> Wire {
        let wire = Wire::new();
        let mut startup = 16_u32.to_be_bytes().to_vec();
        startup.extend(196_608_u32.to_be_bytes());
        startup.extend(b"user\0a\0\0");
        wire.has_sent(&startup);
        wire.has_come(&message(b'R', &[0; 4]));
        wire.has_come(&message(b'K', &[0, 0, 1, 2, 9, 9, 9, 9]));
        wire.has_come(&message(b'Z', b"I"));
        wire
    }

    #[test]
    fn who_serves_it_is_read() {
        assert_eq!(started().pid(), 258);
    }

    #[test]
    fn a_query_is_owed_until_the_server_is_ready_however_the_bytes_come() {
        for size in 1..30 {
            let wire = started();
            for part in message(b'Q', b"select 1\0").chunks(size) {
                wire.has_sent(part);
            }
            assert!(!wire.is_quiet());
            let mut answer = message(b'D', &[7; 100]);
            answer.extend(message(b'C', b"SELECT 1\0"));
            for part in answer.chunks(size) {
                wire.has_come(part);
            }
            assert!(!wire.is_quiet() && wire.last_was("SELECT 1"));
            for part in message(b'Z', b"T").chunks(size) {
                wire.has_come(part);
            }
            assert!(wire.is_quiet() && !wire.is_idle());
            assert_eq!(wire.status(), Status::InTransaction);
        }
    }

    #[test]
    fn what_only_closes_something_is_owed_aside() {
        for tag in [b'P', b'D'] {
            let wire = started();
            wire.has_sent(&message(tag, b"\0LOCKED\0\0\0"));
            wire.has_sent(&message(b'S', b""));
            assert!(!wire.is_quiet() && wire.has_work());
        }
        let wire = started();
        wire.has_sent(&message(b'C', b"Ss1\0"));
        wire.has_sent(&message(b'S', b""));
        assert!(wire.is_idle());
        wire.has_sent(&message(b'B', b"\0s2\0\0\0\0\0\0\0"));
        wire.has_sent(&message(b'E', b"\0\0\0\0\0"));
        wire.has_sent(&message(b'S', b""));
        assert!(!wire.is_quiet());
        wire.has_come(&message(b'Z', b"I"));
        assert!(!wire.is_quiet(), "that was for what came before");
        wire.has_come(&message(b'Z', b"I"));
        assert!(wire.is_idle());
    }

    /// The server ignores what ends an extended query while it copies.
    #[test]
    fn a_copy_owes_one_answer() {
        for (failing, end) in [(false, b'c'), (true, b'f')] {
            let wire = started();
            for tag in [b'B', b'E', b'S'] {
                wire.has_sent(&message(tag, b""));
            }
            wire.has_come(&message(b'G', &[0; 3]));
            assert!(!wire.is_quiet(), "the server waits for what is copied");
            wire.has_sent(&message(b'd', b"1\n"));
            wire.has_sent(&message(end, b""));
            wire.has_sent(&message(b'S', b""));
            assert!(!wire.is_quiet());
            wire.has_come(&message(if failing { b'E' } else { b'C' }, b"COPY 1\0"));
            wire.has_come(&message(b'Z', b"I"));
            assert!(wire.is_quiet());
            assert_eq!(wire.is_idle(), !failing);
        }
        // The end may be sent before anybody knows that it has begun.
        let wire = started();
        for tag in [b'B', b'E', b'S', b'f', b'S'] {
            wire.has_sent(&message(tag, b""));
        }
        wire.has_come(&message(b'G', &[0; 3]));
        assert!(!wire.is_quiet());
        wire.has_come(&message(b'Z', b"I"));
        assert!(wire.is_idle());
        // One that fails may be answered twice.
        assert!(!wire.seen().doubts);
        let wire = started();
        for tag in [b'B', b'E', b'S'] {
            wire.has_sent(&message(tag, b""));
        }
        for (tag, body) in [(b'G', &[0; 3][..]), (b'E', b""), (b'Z', b"I")] {
            wire.has_come(&message(tag, body));
        }
        assert!(wire.is_quiet() && !wire.is_idle());
        for tag in [b'f', b'S'] {
            wire.has_sent(&message(tag, b""));
        }
        assert!(!wire.is_quiet());
        wire.has_come(&message(b'Z', b"I"));
        wire.is_proven();
        assert!(wire.is_idle());
        // One that never began has two.
        let wire = started();
        for tag in [b'B', b'E', b'S', b'f', b'S'] {
            wire.has_sent(&message(tag, b""));
        }
        wire.has_come(&message(b'Z', b"I"));
        assert!(!wire.is_quiet());
        wire.has_come(&message(b'Z', b"I"));
        assert!(wire.is_idle());
        // By a simple query there is nothing that is ignored.
        let wire = started();
        wire.has_sent(&message(b'Q', b"copy t from stdin\0"));
        wire.has_come(&message(b'G', &[0; 3]));
        assert!(!wire.is_quiet());
        wire.has_sent(&message(b'c', b""));
        wire.has_come(&message(b'Z', b"I"));
        assert!(wire.is_idle());
    }

    #[test]
    fn a_server_that_speaks_no_tls_is_read_from_its_byte_on() {
        let wire = Wire::new();
        let mut asks = 8_u32.to_be_bytes().to_vec();
        asks.extend(ASKS_FOR_TLS);
        wire.has_sent(&asks);
        wire.has_come(b"N");
        let mut startup = 9_u32.to_be_bytes().to_vec();
        startup.extend(196_608_u32.to_be_bytes());
        startup.push(0);
        wire.has_sent(&startup);
        wire.has_come(&message(b'K', &[0, 0, 0, 7, 0, 0, 0, 0]));
        wire.has_come(&message(b'Z', b"I"));
        wire.has_sent(&message(b'Q', b"\0"));
        assert!(!wire.is_quiet() && wire.pid() == 7);
    }

    #[test]
    fn a_socket_that_takes_no_more_is_not_quiet() {
        let wire = started();
        wire.is_blocked();
        assert!(!wire.is_quiet());
        wire.has_sent(&[]);
        assert!(wire.is_quiet());
    }

    #[test]
    fn what_comes_before_the_last_is_told_from_it() {
        let wire = started();
        let last = message(b'Q', b"/*desist*/ROLLBACK\0");
        wire.has_sent(&last);
        assert!(!wire.has_work() && !wire.is_quiet());
        wire.has_come(&message(b'Z', b"I"));
        wire.has_sent(&message(b'Q', b"select 1\0"));
        wire.has_sent(&last);
        assert!(wire.has_work());
        wire.has_come(&message(b'Z', b"I"));
        assert!(!wire.has_work() && !wire.is_quiet());
    }
}
