//! The real signals beside the model: each operation is done to both, and both are compared.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use desist::testing::ManualClock;
use desist::{Cancelled, Cause, Guard, Reason, Registration, Source, Token};

use crate::common::{
    Captured, Count, Log, Wakes, cause_of, counting_in, detail_text, poll_once, poll_with,
};
use crate::operations::{Form, Handle, OWNERS, Operation, Then, Way, Why};
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

/// What one owner holds.
#[derive(Default)]
struct Hand {
    sources: Vec<(Source, Id)>,
    tokens: Vec<(Token, Option<Id>)>,
    guards: Vec<(Guard, Id)>,
    registrations: Vec<(Registration, usize)>,
    /// The numbers of waiters.
    waits: Vec<usize>,
}

/// A callback was called, when there had been so many wakes.
struct Call {
    callback: usize,
    woken: usize,
}

pub(crate) struct World {
    clock: ManualClock,
    begin: Instant,
    model: Model,
    hands: [Hand; OWNERS],
    /// Whose turn it is.
    by: usize,
    waiters: Vec<Waiter>,
    captured: Vec<Captured>,
    called: Log<Call>,
    /// Of all wakers together.
    woken: Count,
}

/// What a callback panics with: its number. No panic hook hears of it.
struct Planned(usize);

/// Runs what may call callbacks; if the panic of one comes out, that is its number.
fn outcome<R>(body: impl FnOnce() -> R) -> Result<R, usize> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| match panic.downcast::<Planned>() {
        Ok(planned) => planned.0,
        Err(other) => resume_unwind(other),
    })
}

/// The place of the handle that is meant, if there is any.
fn pick<T>(among: &[T], number: usize) -> Option<usize> {
    number.checked_rem(among.len())
}

/// Takes the handle that is meant, if there is any.
fn take<T>(among: &mut Vec<T>, number: usize) -> Option<T> {
    pick(among, number).map(|index| among.swap_remove(index))
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            begin: clock.now(),
            clock,
            model: Model::default(),
            hands: Default::default(),
            by: 0,
            waiters: Vec::new(),
            captured: Vec::new(),
            called: Log::new(),
            woken: Count::new(),
        }
    }

    fn add_source(&mut self, source: Source, id: Id) {
        self.model.signals[id].sources += 1;
        self.hand().sources.push((source, id));
    }

    fn add_token(&mut self, token: Token, id: Option<Id>) {
        if let Some(id) = id {
            self.model.signals[id].tokens += 1;
        }
        self.hand().tokens.push((token, id));
    }

    fn hand(&mut self) -> &mut Hand {
        &mut self.hands[self.by]
    }

    /// The one whose turn it is, or the next one of whom this is true.
    fn owner(&self, that: impl Fn(&Hand) -> bool) -> Option<usize> {
        (0..OWNERS).map(|next| (self.by + next) % OWNERS).find(|owner| that(&self.hands[*owner]))
    }

    /// The token of this number, somebody else's if need be; if there is none, a new one.
    fn token(&mut self, number: usize) -> (Token, Option<Id>) {
        let owner = self.owner(|hand| !hand.tokens.is_empty()).unwrap_or_else(|| {
            self.act(&Operation::TokenOf(number));
            self.by
        });
        let tokens = &self.hands[owner].tokens;
        tokens[pick(tokens, number).expect("there is one")].clone()
    }

    /// The source of this number, somebody else's if need be; if there is none, a new one.
    fn source(&mut self, number: usize) -> (Source, Id) {
        let owner = self.owner(|hand| !hand.sources.is_empty()).unwrap_or_else(|| {
            self.act(&Operation::NewSource);
            self.by
        });
        let sources = &self.hands[owner].sources;
        sources[pick(sources, number).expect("there is one")].clone()
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

    pub(crate) fn apply(&mut self, by: usize, operation: &Operation) {
        self.by = by % OWNERS;
        self.act(operation);
    }

    fn act(&mut self, operation: &Operation) {
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
                if let Some((source, id)) = take(&mut self.hand().sources, *number) {
                    self.model.signals[id].sources -= 1;
                    drop(source);
                }
            }
            Operation::DropToken(number) => {
                if let Some((token, id)) = take(&mut self.hand().tokens, *number) {
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
                if let Some((registration, callback)) =
                    take(&mut self.hand().registrations, *number)
                {
                    self.take_back(callback);
                    drop(registration);
                }
            }
            Operation::Detach(number) => {
                if let Some((registration, callback)) =
                    take(&mut self.hand().registrations, *number)
                {
                    // One that holds a source could keep its own tree; it is dropped instead.
                    if self.model.callbacks[callback].cancels.is_some() {
                        self.take_back(callback);
                        drop(registration);
                    } else {
                        self.model.callbacks[callback].held = false;
                        registration.detach();
                    }
                }
            }
            Operation::Wait(number, form) => self.wait(*number, *form),
            Operation::Poll(number, other) => self.poll(*number, *other),
            Operation::DropWait(number) => {
                if let Some(index) = take(&mut self.hand().waits, *number) {
                    self.drop_wait(index);
                }
            }
            Operation::Guard(number, owned) => {
                let (source, id) = self.source(*number);
                let guard = if *owned { source.into_guard() } else { source.guard() };
                self.model.signals[id].sources += 1;
                self.hand().guards.push((guard, id));
            }
            Operation::DropGuard(number) => {
                if let Some((guard, id)) = take(&mut self.hand().guards, *number) {
                    let before = self.parents();
                    let cancel = self.model.cancel(id, (Reason::Dropped, None));
                    self.model.signals[id].sources -= 1;
                    let dropped = outcome(|| drop(guard));
                    self.check_outcome(dropped, &before, &[cancel.unwrap_or_default()]);
                }
            }
            Operation::DisarmGuard(number) => {
                if let Some((guard, id)) = take(&mut self.hand().guards, *number) {
                    assert_eq!(guard.token(), self.token_of(id, guard.token()));
                    self.hand().sources.push((guard.disarm(), id));
                }
            }
            Operation::Cancel(number, why) => {
                let (source, id) = self.source(*number);
                let (cause, expected) = self.cause(*why);
                let before = self.parents();
                let cancel = self.model.cancel(id, expected);
                let expected = cancel.is_some();
                let won = outcome(|| match why {
                    Why::Plainly => source.cancel(),
                    _ => source.cancel_with(cause),
                });
                let won = self.check_outcome(won, &before, &[cancel.unwrap_or_default()]);
                assert_eq!(won.unwrap_or(expected), expected);
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
            Operation::Scope(number, then) => self.scope(*number, *then),
            Operation::Pass(what, number, to) => self.pass(*what, *number, *to % OWNERS),
        }
        self.model.sweep();
    }

    fn all_tokens(&self) -> impl Iterator<Item = &(Token, Option<Id>)> {
        self.hands.iter().flat_map(|hand| &hand.tokens)
    }

    /// Any other token of the same signal, or this one.
    fn token_of(&self, id: Id, or: Token) -> Token {
        let other = self.all_tokens().find(|(_, of)| *of == Some(id));
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
                let tokens = &self.hands[self.by].tokens;
                let token = pick(tokens, number).map(|index| &tokens[index].0);
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

    /// What was called is what had to be, and the first panic of a callback came out of it.
    fn check_outcome<R>(
        &self,
        outcome: Result<R, usize>,
        before: &Model,
        cancels: &[Cancel],
    ) -> Option<R> {
        let first = self.check_calls(before, cancels);
        assert_eq!(outcome.as_ref().err().copied(), first, "the first panic comes out");
        outcome.ok()
    }

    /// The callbacks that were called are those that the cancels say, in an order that is promised.
    /// Returns the first of them that panicked.
    fn check_calls(&self, before: &Model, cancels: &[Cancel]) -> Option<usize> {
        let calls = self.called.take();
        let called: Vec<usize> = calls.iter().map(|call| call.callback).collect();
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
            for call in calls.iter().filter(|call| cancel.own.contains(&call.callback)) {
                assert!(call.woken >= cancel.woken, "called before everybody was woken");
            }
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
        called.iter().copied().find(|index| self.model.callbacks[*index].panics)
    }
}

mod steps;
