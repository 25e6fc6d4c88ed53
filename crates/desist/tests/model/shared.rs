//! Signals that several threads work on at once, and what must hold in whatever order.

mod deadlines;
mod passing;

use std::hint::spin_loop;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist::testing::ManualClock;
use desist::{Cancelled, Reason, Registration, Source, Token, WhenCancelled};

use crate::common::{
    Captured, Count, Wakes, cause_of, counting, detail_text, lock, poll_once, poll_with,
};

/// What is done, and three numbers that choose to what. A thread's program is many of them.
pub(crate) type Action = [u8; 4];

/// One signal. The tokens of all stay until the end, so that all can be asked then.
struct Node {
    token: Token,
    /// Gone once somebody drops it.
    source: Option<Source>,
    parents: Vec<usize>,
    /// The text of the cancel that returned true.
    won: Option<String>,
    /// Of each deadline that may still fire, what it cannot come before.
    dues: Vec<Instant>,
    /// The same of those that were over when they were set. Nobody can take them back.
    over: Vec<Instant>,
    /// Whether somebody looks at the clock when it is cancelled.
    watched: bool,
    guarded: bool,
}

#[derive(Clone)]
struct Callback {
    on: usize,
    called: Count,
    /// Somebody is about to take it back.
    wanted: Count,
    prevented: Count,
    captured: Arc<Captured>,
}

struct Waiter {
    on: usize,
    /// Of the first waker and of the one that may have taken its place.
    wakes: [Arc<Wakes>; 2],
    replaced: bool,
    gone: bool,
}

type Wait = Pin<Box<WhenCancelled<'static>>>;

/// What one thread holds for itself.
#[derive(Default)]
struct Mine {
    registrations: Vec<(Registration, Callback)>,
    /// By the number in the list of all.
    waits: Vec<(Wait, usize)>,
    /// Their wakers call back.
    calling: Vec<Wait>,
    kept: Option<Token>,
}

struct Shared {
    clock: ManualClock,
    nodes: Mutex<Vec<Node>>,
    callbacks: Mutex<Vec<Callback>>,
    waiters: Mutex<Vec<Waiter>>,
    /// Callbacks of children that were forgotten at once: how often called, and what is captured.
    forgotten: Mutex<Vec<(Count, Captured)>>,
    /// Callbacks that borrowed, and how often they were called when their scope ended.
    scopes: Mutex<Vec<(Count, usize)>>,
    /// A token for whoever comes next.
    handed: Mutex<Option<Token>>,
    /// Deadlines that fired when the clock did not stand at them yet. A count, because what panics
    /// in a callback of a deadline is swallowed.
    early: Count,
    /// No two causes have the same number.
    cancels: Count,
}

/// The handle that is meant, if there is any.
fn pick<T>(among: &[T], number: u8) -> Option<usize> {
    usize::from(number).checked_rem(among.len())
}

fn identity(cause: &Cancelled) -> (Reason, Option<String>, Instant) {
    (cause.reason(), detail_text(cause), cause.at())
}

impl Shared {
    fn new() -> Self {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let shared = Self {
            clock,
            nodes: Mutex::default(),
            callbacks: Mutex::default(),
            waiters: Mutex::default(),
            forgotten: Mutex::default(),
            scopes: Mutex::default(),
            handed: Mutex::default(),
            early: Count::new(),
            cancels: Count::new(),
        };
        let children = [root.child(), root.child()];
        shared.add(root.token(), Some(root), &[]);
        for child in children {
            shared.add(child.token(), Some(child), &[0]);
        }
        shared
    }

    fn add(&self, token: Token, source: Option<Source>, parents: &[usize]) {
        lock(&self.nodes).push(Node::new(token, source, parents));
    }

    fn token(&self, number: u8) -> (Token, usize) {
        let nodes = lock(&self.nodes);
        let index = pick(&nodes, number).expect("there is the root");
        (nodes[index].token.clone(), index)
    }

    /// Of those that have one; the root always has.
    fn source(&self, number: u8) -> (Source, usize) {
        let nodes = lock(&self.nodes);
        let with: Vec<_> = nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| node.source.as_ref().map(|source| (source, index)))
            .collect();
        let (source, index) = with[pick(&with, number).expect("there is the root")];
        (source.clone(), index)
    }

    fn cancel(&self, source: &Source, on: usize) {
        let reasons = [Reason::Superseded, Reason::Overload, Reason::Shutdown, Reason::Other];
        let number = self.cancels.next();
        let text = number.to_string();
        let won = source.cancel_with(reasons[number % 4].with(text.clone()));
        if won {
            assert_eq!(detail_text(&cause_of(&source.token())).as_ref(), Some(&text), "who won");
            let before = lock(&self.nodes)[on].won.replace(text.clone());
            assert_eq!(before, None, "two winners");
        }
        self.check_after(on, won.then_some(text));
    }

    /// What must hold when a cancel of this signal has returned.
    fn check_after(&self, on: usize, won: Option<String>) {
        let nodes = lock(&self.nodes);
        let mut below = vec![false; nodes.len()];
        below[on] = true;
        for (index, node) in nodes.iter().enumerate() {
            // Parents come before their children.
            below[index] |= node.parents.iter().any(|parent| below[*parent]);
            assert!(!below[index] || node.token.is_cancelled(), "live below a cancelled signal");
        }
        let Some(won) = won else { return };
        let by_this = |on: usize| detail_text(&cause_of(&nodes[on].token)) == Some(won.clone());
        for waiter in lock(&self.waiters).iter().filter(|waiter| below[waiter.on]) {
            let woken = waiter.wakes.iter().any(|wakes| wakes.get() > 0);
            assert!(woken || waiter.gone || !by_this(waiter.on), "not woken by the winner");
        }
        for callback in lock(&self.callbacks).iter().filter(|callback| below[callback.on]) {
            let over = callback.called.get() + callback.wanted.get() > 0;
            assert!(over || !by_this(callback.on), "not called by the winner");
        }
    }

    fn register(self: &Arc<Self>, mine: &mut Mine, number: u8, cancels: Option<u8>) {
        let (token, on) = self.token(number);
        let callback = Callback {
            on,
            called: Count::new(),
            wanted: Count::new(),
            prevented: Count::new(),
            captured: Arc::new(Captured::new()),
        };
        let (called, handle) = (callback.called.clone(), callback.captured.handle());
        let other = cancels.map(|number| (Arc::clone(self), self.source(number)));
        let registration = token.on_cancel(move |_| {
            let _handle = handle;
            called.add();
            if let Some((shared, (source, on))) = other {
                drop(source.child());
                shared.cancel(&source, on);
            }
        });
        lock(&self.callbacks).push(callback.clone());
        mine.registrations.push((registration, callback));
    }

    /// A child that is dropped at once, with a callback and a wait on it.
    fn forget(&self, number: u8, detach: bool) {
        let (token, _) = self.token(number);
        let (called, captured) = (Count::new(), Captured::new());
        let child = token.child();
        let mut wait = pin!(child.token().cancelled_owned());
        let _ = poll_once(wait.as_mut());
        let (calls, handle) = (called.clone(), captured.handle());
        let registration = child.token().on_cancel(move |_| {
            let _handle = handle;
            calls.add();
        });
        if detach {
            registration.detach();
        }
        lock(&self.forgotten).push((called, captured));
    }

    fn wait(&self, mine: &mut Mine, number: u8) {
        let (token, on) = self.token(number);
        let ((first, waker), (second, _)) = (counting(), counting());
        let mut wait = Box::pin(token.cancelled_owned());
        if poll_with(wait.as_mut(), &waker).is_pending() {
            let wakes = [first, second];
            let mut waiters = lock(&self.waiters);
            waiters.push(Waiter { on, wakes, replaced: false, gone: false });
            mine.waits.push((wait, waiters.len() - 1));
        }
    }

    /// The other waker takes the place of the first.
    fn replace(&self, mine: &mut Mine, number: u8) {
        let Some(place) = pick(&mine.waits, number) else { return };
        let (wait, index) = &mut mine.waits[place];
        let mut waiters = lock(&self.waiters);
        let second = Arc::clone(&waiters[*index].wakes[1]);
        // If it is ready it may have gone before it was woken.
        waiters[*index].gone = true;
        drop(waiters);
        if poll_with(wait.as_mut(), &second.into()).is_pending() {
            let waiter = &mut lock(&self.waiters)[*index];
            (waiter.gone, waiter.replaced) = (false, true);
        }
    }

    fn drop_wait(&self, mine: &mut Mine, number: u8) {
        let Some(place) = pick(&mine.waits, number) else { return };
        let (wait, index) = mine.waits.swap_remove(place);
        lock(&self.waiters)[index].gone = true;
        drop(wait);
    }

    fn scope(&self, number: u8, cancels: Option<u8>) {
        let (token, _) = self.token(number);
        let (begun, ended) = (Count::new(), Count::new());
        let (begin, end) = (begun.clone(), ended.clone());
        let cancels = cancels.map(|number| self.source(number));
        token.while_registered(
            move |_| {
                begin.add();
                (0..100).for_each(|_| spin_loop());
                end.add();
            },
            || cancels.map(|(source, on)| self.cancel(&source, on)),
        );
        let calls = begun.get();
        assert!(calls <= 1 && calls == ended.get(), "it runs on after its scope");
        lock(&self.scopes).push((begun, calls));
    }

    fn act(self: &Arc<Self>, [what, first, second, third]: Action, mine: &mut Mine) {
        match what % 64 {
            7 => self.timed_child(first, second),
            24 => self.wait_calling_back(mine, first),
            34 => self.run_briefly(first, second),
            61 => self.hand_on(mine, first),
            0..8 => {
                let (token, on) = self.token(first);
                let child = token.child();
                self.add(child.token(), Some(child), &[on]);
            }
            8..14 => {
                let parents = [first, second, third].map(|number| self.token(number));
                let parents = &parents[..2 + usize::from(what % 2)];
                let above: Vec<usize> = parents.iter().map(|(_, on)| *on).collect();
                let tokens = parents.iter().map(|(token, _)| token);
                if what % 3 == 0 {
                    self.add(Token::any(tokens), None, &above);
                } else {
                    let source = Source::linked(tokens);
                    self.add(source.token(), Some(source), &above);
                }
            }
            14..17 => self.forget(first, second % 2 == 0),
            17..25 => self.register(mine, first, None),
            25..29 => self.register(mine, first, Some(second)),
            29..35 => self.wait(mine, first),
            35..38 => self.replace(mine, first),
            38..41 => self.drop_wait(mine, first),
            41..46 => {
                let (source, on) = self.source(first);
                self.cancel(&source, on);
            }
            46 | 47 => {
                let (source, on) = self.source(first);
                self.arm(&source, on, Duration::from_millis(u64::from(second % 50)));
            }
            48 => self.disarm(first),
            49 | 50 => self.clock.advance(Duration::from_millis(u64::from(first % 16))),
            51..55 => {
                let Some(place) = pick(&mine.registrations, first) else { return };
                take_back(mine.registrations.swap_remove(place), second);
            }
            55 => {
                let Some(place) = pick(&mine.registrations, first) else { return };
                mine.registrations.swap_remove(place).0.detach();
            }
            56 | 57 => {
                let mut nodes = lock(&self.nodes);
                // The root's source stays: nobody is forgotten before the end.
                let source =
                    pick(&nodes[1..], first).and_then(|place| nodes[place + 1].source.take());
                drop(nodes);
                drop(source);
            }
            58 => {
                let (source, on) = self.source(first);
                lock(&self.nodes)[on].guarded = true;
                drop(source.guard());
                self.check_after(on, None);
            }
            59 | 60 => self.scope(first, (what == 60).then_some(second)),
            _ => (0..u32::from(first) * 8).for_each(|_| spin_loop()),
        }
    }

    /// Everything is cancelled and nobody works on it any more.
    fn check_end(&self) {
        let nodes = lock(&self.nodes);
        let causes: Vec<_> = nodes.iter().map(|node| cause_of(&node.token)).collect();
        for (node, cause) in nodes.iter().zip(&causes) {
            let own = match cause.reason() {
                Reason::Deadline => {
                    node.dues.iter().chain(&node.over).any(|due| *due <= cause.at())
                }
                Reason::Dropped => node.guarded,
                _ => detail_text(cause) == node.won,
            };
            let cause = identity(cause);
            let inherited = node.parents.iter().any(|parent| identity(&causes[*parent]) == cause);
            assert!(own || inherited, "{cause:?} is neither its own nor of a parent");
            assert!(node.won.is_none() || cause.1 == node.won, "the cause is the winner's");
        }
        assert_eq!(self.early.get(), 0, "no deadline fires early");
        for callback in lock(&self.callbacks).iter() {
            let (called, prevented) = (callback.called.get(), callback.prevented.get());
            assert_eq!(called + prevented, 1, "called {called} times, prevented {prevented} times");
            assert_eq!(callback.captured.held(), 0, "what it captured is dropped");
        }
        for waiter in lock(&self.waiters).iter() {
            let [first, second] = waiter.wakes.each_ref().map(|wakes| wakes.get());
            assert!(first <= 1 && second <= 1, "woken at most once: {first}, {second}");
            let last = if waiter.replaced { second } else { first };
            assert!(last == 1 || waiter.gone, "the last waker is woken");
        }
        for (called, captured) in lock(&self.forgotten).iter() {
            assert!(called.get() <= 1, "called at most once");
            assert_eq!(captured.held(), 0, "what a forgotten callback captured is dropped");
        }
        for (begun, calls) in lock(&self.scopes).iter() {
            assert_eq!(begun.get(), *calls, "called after its scope");
        }
    }
}

impl Node {
    fn new(token: Token, source: Option<Source>, parents: &[usize]) -> Self {
        let parents = parents.to_vec();
        Self {
            token,
            source,
            parents,
            won: None,
            dues: Vec::new(),
            over: Vec::new(),
            watched: false,
            guarded: false,
        }
    }
}

fn take_back((registration, callback): (Registration, Callback), way: u8) {
    callback.wanted.add();
    let prevented = match way % 4 {
        0 => registration.unregister(),
        1 => registration.blocking_unregister(),
        way => passing::take_back_awaited(registration, way == 3),
    };
    if prevented {
        callback.prevented.add();
    }
}

/// Runs each program on a thread of its own, all from the same moment on, and then the end: what is
/// left is cancelled at the root, and everything must be over.
pub(crate) fn run(programs: &[Vec<Action>]) {
    let shared = Arc::new(Shared::new());
    let waiting = Count::new();
    let work = |program: &[Action]| {
        waiting.add();
        while waiting.get() < programs.len() {
            std::thread::yield_now();
        }
        let mut mine = Mine::default();
        program.iter().for_each(|action| shared.act(*action, &mut mine));
        mine
    };
    let left: Vec<Mine> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            programs.iter().map(|program| scope.spawn(|| work(program))).collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });

    // Half of the registrations that are left are prevented, the others must be called.
    let mut waits = Vec::new();
    for (index, mine) in left.into_iter().enumerate() {
        for (registration, callback) in mine.registrations {
            if index % 2 == 0 {
                take_back((registration, callback), 0);
            } else {
                registration.detach();
            }
        }
        waits.extend(mine.waits.into_iter().map(|(wait, _)| wait));
        waits.extend(mine.calling);
    }
    shared.pass_all_deadlines();
    let (root, on) = shared.source(0);
    shared.cancel(&root, on);
    for mut wait in waits {
        assert!(poll_once(wait.as_mut()).is_ready());
    }
    shared.check_end();
    let sole = Arc::into_inner(shared);
    assert!(sole.is_some(), "no callback is left that holds everything");
}
