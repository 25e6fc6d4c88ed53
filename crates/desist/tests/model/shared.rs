//! Signals that several threads work on at once, and what must hold in whatever order.
//!
//! A thread chooses among the handles that it has itself, without a lock: a lock would put the
//! threads in an order that their real users do not have. What it did is noted after it was done.

mod callbacks;
mod deadlines;
mod passing;
mod waits;

use std::hint::spin_loop;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist::testing::ManualClock;
use desist::{Cancelled, Reason, Source, Token};

use self::callbacks::{Callback, Taken, tolerate};
use self::deadlines::Dues;
use self::passing::Known;
use self::waits::{Wait, Waiter};
use crate::common::{Captured, Count, cause_of, detail_text, lock, poll_once};

/// What is done, and three numbers that choose to what. A thread's program is many of them.
pub(crate) type Action = [u8; 4];

/// One signal. The tokens of all stay until the end, so that all can be asked then.
struct Node {
    token: Token,
    parents: Vec<usize>,
    /// The text of the cancel that returned true.
    won: Mutex<Option<String>>,
    dues: Mutex<Dues>,
    guarded: AtomicBool,
}

/// What one thread holds for itself.
#[derive(Default)]
struct Mine {
    known: Vec<Known>,
    /// How much of the news it has read.
    read: usize,
    registrations: Vec<Taken>,
    /// By the number in the list of all.
    waits: Vec<(Wait, usize)>,
    /// Their wakers call back.
    calling: Vec<Wait>,
    kept: Option<Token>,
}

struct Shared {
    clock: ManualClock,
    nodes: Mutex<Vec<Arc<Node>>>,
    /// What the others do not know yet.
    news: Mutex<Vec<Known>>,
    callbacks: Mutex<Vec<Callback>>,
    waiters: Mutex<Vec<Waiter>>,
    /// Callbacks of children that were forgotten at once: how often called, and what is captured.
    forgotten: Mutex<Vec<(Count, Captured)>>,
    /// Callbacks that borrowed, and how often they were called when their scope ended.
    scopes: Mutex<Vec<(Count, usize)>>,
    /// A token for whoever comes next.
    handed: Mutex<Option<Token>>,
    /// Sources that only their deadline cancels.
    shielded: Mutex<Vec<Source>>,
    /// Deadlines that fired when the clock did not stand at them yet.
    early: Count,
    /// What did not hold inside a callback. A count, because what panics in a callback of a
    /// deadline, or after another that panicked, is swallowed.
    faults: Count,
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
    fn new(clock: ManualClock) -> Self {
        Self {
            clock,
            nodes: Mutex::default(),
            news: Mutex::default(),
            callbacks: Mutex::default(),
            waiters: Mutex::default(),
            forgotten: Mutex::default(),
            scopes: Mutex::default(),
            handed: Mutex::default(),
            shielded: Mutex::default(),
            early: Count::new(),
            faults: Count::new(),
            cancels: Count::new(),
        }
    }

    fn cancel(&self, source: &Source, known: &Known) {
        let reasons = [Reason::Superseded, Reason::Overload, Reason::Shutdown, Reason::Other];
        let number = self.cancels.next();
        let text = number.to_string();
        let cause = reasons[number % 4].with(text.clone());
        // Only who has won calls, so only who has won meets a panic.
        let won = tolerate(|| source.cancel_with(cause)).unwrap_or(true);
        if won {
            assert_eq!(detail_text(&cause_of(&source.token())).as_ref(), Some(&text), "who won");
            let before = lock(&known.node.won).replace(text.clone());
            assert_eq!(before, None, "two winners");
        }
        self.check_after(known.on, won.then_some(text));
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
            assert!(waiter.is_over() || !by_this(waiter.on), "not woken by the winner");
        }
        for callback in lock(&self.callbacks).iter().filter(|callback| below[callback.on]) {
            assert!(callback.is_over() || !by_this(callback.on), "not called by the winner");
        }
    }

    fn guard(&self, mine: &Mine, number: u8) {
        let (source, known) = mine.source(number);
        known.node.guarded.store(true, Ordering::SeqCst);
        tolerate(|| drop(source.guard()));
        self.check_after(known.on, None);
    }

    fn act(self: &Arc<Self>, [what, first, second, third]: Action, mine: &mut Mine) {
        match what % 64 {
            7 => self.timed_child(mine, first, second),
            13 => self.shielded(mine, first, second),
            16 => self.panicking_callback(mine, first),
            24 => self.wait_calling_back(mine, first),
            33 => self.block_briefly(mine, first, second),
            34 => self.run_briefly(mine, first, second),
            45 => self.arm_and_take_back(mine, first, second),
            61 => self.hand_on(mine, first),
            62 => self.read_news(mine),
            0..8 => {
                let parent = mine.known(first);
                let (child, on) = (parent.node.token.child(), parent.on);
                self.add(mine, child.token(), Some(child), &[on]);
            }
            8..14 => self.link(mine, [first, second, third], what),
            14..17 => self.forget(mine, first, second % 2 == 0),
            17..25 => self.register(mine, first, None),
            25..29 => self.register(mine, first, Some(second)),
            29..35 => self.wait(mine, first),
            35..38 => self.replace(mine, first),
            38..41 => self.drop_wait(mine, first),
            41..46 => {
                let (source, known) = mine.source(first);
                self.cancel(source, known);
            }
            46 | 47 => {
                let (source, known) = mine.source(first);
                self.arm(source, known, Duration::from_millis(u64::from(second % 50)), third);
            }
            48 => self.disarm(mine, first),
            49 | 50 => self.clock.advance(Duration::from_millis(u64::from(first % 16))),
            51..55 => {
                let Some(place) = pick(&mine.registrations, first) else { return };
                callbacks::take_back(mine.registrations.swap_remove(place), second);
            }
            55 => {
                let Some(place) = pick(&mine.registrations, first) else { return };
                mine.registrations.swap_remove(place).0.detach();
            }
            56 | 57 => mine.drop_source(first),
            58 => self.guard(mine, first),
            59 | 60 => self.scope(mine, first, (what == 60).then_some(second)),
            _ => (0..u32::from(first) * 8).for_each(|_| spin_loop()),
        }
    }

    fn link(&self, mine: &mut Mine, numbers: [u8; 3], what: u8) {
        let parents = numbers.map(|number| mine.known(number));
        let parents = &parents[..2 + usize::from(what % 2)];
        let above: Vec<usize> = parents.iter().map(|known| known.on).collect();
        let tokens = parents.iter().map(|known| &known.node.token);
        if what % 3 == 0 {
            let any = Token::any(tokens);
            self.add(mine, any, None, &above);
        } else {
            let source = Source::linked(tokens);
            self.add(mine, source.token(), Some(source), &above);
        }
    }

    /// Everything is cancelled and nobody works on it any more.
    fn check_end(&self) {
        assert_eq!(self.faults.get(), 0, "what must hold in a callback: see above");
        assert_eq!(self.early.get(), 0, "no deadline fires early");
        let nodes = lock(&self.nodes);
        let causes: Vec<_> = nodes.iter().map(|node| cause_of(&node.token)).collect();
        for (node, cause) in nodes.iter().zip(&causes) {
            let won = lock(&node.won).clone();
            let own = match cause.reason() {
                Reason::Deadline => lock(&node.dues).explain(cause.at()),
                Reason::Dropped => node.guarded.load(Ordering::SeqCst),
                _ => detail_text(cause) == won,
            };
            let cause = identity(cause);
            let inherited = node.parents.iter().any(|parent| identity(&causes[*parent]) == cause);
            assert!(own || inherited, "{cause:?} is neither its own nor of a parent");
            assert!(won.is_none() || cause.1 == won, "the cause is the winner's");
        }
        lock(&self.callbacks).iter().for_each(Callback::check_end);
        lock(&self.waiters).iter().for_each(Waiter::check_end);
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
    fn new(token: Token, parents: &[usize]) -> Self {
        Self {
            token,
            parents: parents.to_vec(),
            won: Mutex::default(),
            dues: Mutex::default(),
            guarded: AtomicBool::new(false),
        }
    }
}

/// Runs each program on a thread of its own, all from the same moment on, and then the end: what is
/// left is cancelled at the root, and everything must be over.
pub(crate) fn run(programs: &[Vec<Action>]) {
    let clock = ManualClock::new();
    let root = Source::with_clock(clock.clock());
    let shared = Arc::new(Shared::new(clock));
    let mut begin = Mine::default();
    shared.add(&mut begin, root.token(), Some(root.clone()), &[]);
    for child in [root.child(), root.child()] {
        shared.add(&mut begin, child.token(), Some(child), &[0]);
    }
    let waiting = Count::new();
    let work = |known: Vec<Known>, program: &[Action]| {
        let mut mine = Mine { read: known.len(), known, ..Mine::default() };
        waiting.add();
        while waiting.get() < programs.len() {
            std::thread::yield_now();
        }
        for action in program {
            tolerate(|| shared.act(*action, &mut mine));
        }
        mine
    };
    let left: Vec<Mine> = std::thread::scope(|scope| {
        let threads: Vec<_> = programs
            .iter()
            .map(|program| {
                let known = begin.known.clone();
                scope.spawn(|| work(known, program))
            })
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join());
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });

    // Half of the registrations that are left are prevented, the others must be called.
    let mut waits = Vec::new();
    for (index, mine) in left.into_iter().enumerate() {
        for taken in mine.registrations {
            if index % 2 == 0 {
                callbacks::take_back(taken, 0);
            } else {
                taken.0.detach();
            }
        }
        waits.extend(mine.waits.into_iter().map(|(wait, _)| wait));
        waits.extend(mine.calling);
    }
    shared.pass_all_deadlines();
    shared.cancel(&root, &begin.known[0]);
    for mut wait in waits {
        assert!(poll_once(wait.as_mut()).is_ready());
    }
    shared.check_end();
    drop(mem::take(&mut *lock(&shared.news)));
    let sole = Arc::into_inner(shared);
    assert!(sole.is_some(), "no callback is left that holds everything");
}
