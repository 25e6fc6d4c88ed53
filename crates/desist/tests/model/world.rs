//! The real signals beside the model: each operation is done to both, and both are compared.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use desist::testing::ManualClock;
use desist::{Cancelled, Cause, Guard, Reason, Registration, Source, Token};

use crate::common::wakers::{Wakes, counting};
use crate::common::{Captured, Log, cause_of, detail_text, poll_once, poll_with};
use crate::operations::{Form, Operation, Then, Way, Why};
use crate::reference::{self, Callback, Cancel, Id, Model, NESTED, State, Waiting};

const REASONS: [Reason; 10] = [
    Reason::Requested,
    Reason::Superseded,
    Reason::Disconnected,
    Reason::Deadline,
    Reason::SiblingFailed,
    Reason::Dropped,
    Reason::Overload,
    Reason::LeaseLost,
    Reason::Shutdown,
    Reason::Other,
];

/// How much later than armed a deadline may be reported.
const TICK: Duration = Duration::from_millis(4);

struct Waiter {
    future: Option<Pin<Box<dyn Future<Output = Cancelled>>>>,
    /// It may be polled again after it was ready.
    fused: bool,
    wakes: [Arc<Wakes>; 2],
    wakers: [Waker; 2],
}

pub(crate) struct World {
    clock: ManualClock,
    begin: Instant,
    model: Model,
    sources: Vec<(Source, Id)>,
    tokens: Vec<(Token, Option<Id>)>,
    guards: Vec<(Guard, Id)>,
    registrations: Vec<(Registration, usize)>,
    waiters: Vec<Waiter>,
    captured: Vec<Captured>,
    called: Log<usize>,
}

/// The place of the handle that is meant, if there is any.
fn pick<T>(among: &[T], number: usize) -> Option<usize> {
    number.checked_rem(among.len())
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            begin: clock.now(),
            clock,
            model: Model::default(),
            sources: Vec::new(),
            tokens: Vec::new(),
            guards: Vec::new(),
            registrations: Vec::new(),
            waiters: Vec::new(),
            captured: Vec::new(),
            called: Log::new(),
        }
    }

    fn add_source(&mut self, source: Source, id: Id) {
        self.model.signals[id].sources += 1;
        self.sources.push((source, id));
    }

    fn add_token(&mut self, token: Token, id: Option<Id>) {
        if let Some(id) = id {
            self.model.signals[id].tokens += 1;
        }
        self.tokens.push((token, id));
    }

    /// The token of this number; if there is none, one of a new source.
    fn token(&mut self, number: usize) -> (Token, Option<Id>) {
        if self.tokens.is_empty() {
            self.apply(&Operation::NewSource);
            self.apply(&Operation::TokenOf(number));
        }
        let index = pick(&self.tokens, number).expect("there is one");
        self.tokens[index].clone()
    }

    /// The source of this number; if there is none, a new one.
    fn source(&mut self, number: usize) -> (Source, Id) {
        if self.sources.is_empty() {
            self.apply(&Operation::NewSource);
        }
        let index = pick(&self.sources, number).expect("there is one");
        self.sources[index].clone()
    }

    fn timed(&self, id: Option<Id>) -> bool {
        id.is_some_and(|id| self.model.signals[id].timed)
    }

    /// A deadline that nobody else has, at least so many steps from now.
    fn free_deadline(&self, steps: u8) -> u64 {
        let mut at = self.model.now + u64::from(steps % 40) * 10 + 3;
        while self.model.signals.iter().any(|signal| signal.armed == Some(at)) {
            at += 10;
        }
        at
    }

    fn after(&self, at: u64) -> Duration {
        Duration::from_millis(at - self.model.now)
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::NewSource => {
                let id = self.model.add(&[], true);
                self.add_source(Source::with_clock(self.clock.clock()), id);
            }
            Operation::PlainSource => {
                let id = self.model.add(&[], false);
                self.add_source(Source::new(), id);
            }
            Operation::NeverToken => self.add_token(Token::never(), None),
            Operation::CancelledToken(why) => {
                let (cause, why) = self.cause(*why);
                let id = self.model.add(&[], false);
                self.model.signals[id].cause = Some(why);
                self.add_token(Token::cancelled_with(cause), Some(id));
            }
            Operation::TokenOf(number) => {
                let (source, id) = self.source(*number);
                self.add_token(source.token(), Some(id));
            }
            Operation::CloneSource(number) => {
                let (source, id) = self.source(*number);
                self.add_source(source, id);
            }
            Operation::CloneToken(number) => {
                let (token, id) = self.token(*number);
                self.add_token(token, id);
            }
            Operation::DropSource(number) => {
                if let Some(index) = pick(&self.sources, *number) {
                    let (source, id) = self.sources.swap_remove(index);
                    self.model.signals[id].sources -= 1;
                    drop(source);
                }
            }
            Operation::DropToken(number) => {
                if let Some(index) = pick(&self.tokens, *number) {
                    let (token, id) = self.tokens.swap_remove(index);
                    if let Some(id) = id {
                        self.model.signals[id].tokens -= 1;
                    }
                    drop(token);
                }
            }
            Operation::ChildOfSource(number) => {
                let (source, parent) = self.source(*number);
                let id = self.model.add(&[Some(parent)], self.timed(Some(parent)));
                self.add_source(source.child(), id);
            }
            Operation::ChildOfToken(number) => {
                let (token, parent) = self.token(*number);
                let id = self.model.add(&[parent], self.timed(parent));
                self.add_source(token.child(), id);
            }
            Operation::ChildWithTimeout(number, steps) => {
                let (token, parent) = self.token(*number);
                let (timed, at) = (self.timed(parent), self.free_deadline(*steps));
                let id = self.model.add(&[parent], timed);
                if *steps == 0 {
                    self.add_source(token.child_with_timeout(Duration::ZERO), id);
                    self.model.cancel(id, (Reason::Deadline, None));
                } else if timed {
                    let source = if *steps % 2 == 0 {
                        token.child_with_timeout(self.after(at))
                    } else {
                        token.child_with_deadline(self.begin + Duration::from_millis(at))
                    };
                    self.add_source(source, id);
                    self.model.signals[id].armed = self.model.live(id).then_some(at);
                } else {
                    self.add_source(token.child_with_timeout(Duration::MAX), id);
                }
            }
            Operation::Linked(numbers) => self.linked(numbers),
            Operation::Any(numbers) => self.any(numbers),
            Operation::Shielded(number) => {
                let (token, _) = self.token(*number);
                self.add_token(token.shielded(), None);
            }
            Operation::ShieldedFor(number, steps) => {
                let (token, of) = self.token(*number);
                let (timed, at) = (self.timed(of), self.free_deadline(*steps));
                let id = self.model.add(&[], timed);
                if timed {
                    self.add_source(token.shielded_for(self.after(at)), id);
                    self.model.signals[id].armed = Some(at);
                } else {
                    self.add_source(token.shielded_for(Duration::MAX), id);
                }
            }
            Operation::OnCancel(number, then) => self.on_cancel(*number, *then),
            Operation::Unregister(number, way) => self.unregister(*number, *way),
            Operation::DropRegistration(number) => {
                if let Some(index) = pick(&self.registrations, *number) {
                    let (registration, callback) = self.registrations.swap_remove(index);
                    self.take_back(callback);
                    drop(registration);
                }
            }
            Operation::Detach(number) => {
                if let Some(index) = pick(&self.registrations, *number) {
                    // One that holds a source could keep its own tree; it is dropped instead.
                    if self.model.callbacks[self.registrations[index].1].cancels.is_some() {
                        return self.apply(&Operation::DropRegistration(index));
                    }
                    let (registration, callback) = self.registrations.swap_remove(index);
                    self.model.callbacks[callback].held = false;
                    registration.detach();
                }
            }
            Operation::Wait(number, form) => self.wait(*number, *form),
            Operation::Poll(number, other) => self.poll(*number, *other),
            Operation::DropWait(number) => {
                if let Some(index) = pick(&self.waiters, *number) {
                    self.drop_wait(index);
                }
            }
            Operation::Guard(number, owned) => {
                let (source, id) = self.source(*number);
                let guard = if *owned { source.into_guard() } else { source.guard() };
                self.model.signals[id].sources += 1;
                self.guards.push((guard, id));
            }
            Operation::DropGuard(number) => {
                if let Some(index) = pick(&self.guards, *number) {
                    let (guard, id) = self.guards.swap_remove(index);
                    let before = self.parents();
                    let cancel = self.model.cancel(id, (Reason::Dropped, None));
                    self.model.signals[id].sources -= 1;
                    drop(guard);
                    self.check_calls(&before, &[cancel.unwrap_or_default()]);
                }
            }
            Operation::DisarmGuard(number) => {
                if let Some(index) = pick(&self.guards, *number) {
                    let (guard, id) = self.guards.swap_remove(index);
                    assert_eq!(guard.token(), self.token_of(id, guard.token()));
                    self.sources.push((guard.disarm(), id));
                }
            }
            Operation::Cancel(number, why) => {
                let (source, id) = self.source(*number);
                let (cause, expected) = self.cause(*why);
                let before = self.parents();
                let cancel = self.model.cancel(id, expected);
                let won = match why {
                    Why::Plainly => source.cancel(),
                    _ => source.cancel_with(cause),
                };
                assert_eq!(won, cancel.is_some());
                self.check_calls(&before, &[cancel.unwrap_or_default()]);
            }
            Operation::Arm(number, steps, by_instant) => self.arm(*number, *steps, *by_instant),
            Operation::ArmEndless(number) => {
                let (source, id) = self.source(*number);
                source.cancel_after(Duration::MAX);
                self.model.signals[id].armed = None;
            }
            Operation::Disarm(number) => {
                let (source, id) = self.source(*number);
                source.disarm();
                self.model.signals[id].armed = None;
            }
            Operation::Advance(steps) => self.advance(u64::from(steps % 30) * 10),
        }
        self.model.sweep();
    }

    /// Any other token of the same signal, or this one.
    fn token_of(&self, id: Id, or: Token) -> Token {
        let other = self.tokens.iter().find(|(_, of)| *of == Some(id));
        other.map_or(or, |(token, _)| token.clone())
    }

    fn cause(&self, why: Why) -> (Cause, reference::Why) {
        let reason = |number: u8| REASONS[usize::from(number) % REASONS.len()];
        match why {
            Why::Plainly => (Reason::Requested.into(), (Reason::Requested, None)),
            Why::Reason(number) => (reason(number).into(), (reason(number), None)),
            Why::Text(number) => {
                let text = format!("text {number}");
                (text.clone().into(), (Reason::Requested, Some(text)))
            }
            Why::Detail(number, text) => {
                let text = format!("detail {text}");
                let cause = Cause::new(reason(number)).message(text.clone());
                (cause, (reason(number), Some(text)))
            }
            Why::LikeToken(number) => {
                let token = pick(&self.tokens, number).map(|index| &self.tokens[index].0);
                match token.and_then(Token::cancellation) {
                    Some(other) => {
                        let expected = (other.reason(), Some(other.to_string()));
                        (other.into(), expected)
                    }
                    None => self.cause(Why::Plainly),
                }
            }
        }
    }

    fn parents(&self) -> Model {
        let mut before = Model::default();
        for signal in &self.model.signals {
            let parents = signal.parents.clone();
            before.signals.push(reference::Signal { parents, ..Default::default() });
        }
        before
    }

    /// The callbacks that were called are those that the cancels say, in an order that is promised.
    fn check_calls(&self, before: &Model, cancels: &[Cancel]) {
        let called = self.called.take();
        let mut rest = called.as_slice();
        for cancel in cancels {
            let length = cancel.own.len() + cancel.nested.len();
            assert!(rest.len() >= length, "called {called:?}, expected {cancels:?}");
            let (part, after) = rest.split_at(length);
            rest = after;
            let mut sorted = part.to_vec();
            sorted.sort_unstable();
            let mut expected = [cancel.own.as_slice(), &cancel.nested].concat();
            expected.sort_unstable();
            assert_eq!(sorted, expected, "the callbacks that were called");
            for (place, early) in part.iter().enumerate() {
                for late in &part[place + 1..] {
                    let on = [*early, *late].map(|index| self.model.callbacks[index].on);
                    assert!(on[0] != on[1] || early > late, "last registered first: {part:?}");
                    let both_own = [early, late].iter().all(|index| cancel.own.contains(index));
                    if let ([Some(early), Some(late)], true) = (on, both_own) {
                        assert!(!before.is_ancestor(early, late), "descendants first: {part:?}");
                    }
                }
            }
        }
        assert!(rest.is_empty(), "called {called:?}, expected {cancels:?}");
    }
}

mod steps;
