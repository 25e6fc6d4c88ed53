//! The naive model: plain data, everything looked up by walking over all of it.

use desist::Reason;

/// The number of a signal.
pub(crate) type Id = usize;

/// Reason and text of the detail.
pub(crate) type Why = (Reason, Option<String>);

#[derive(Default)]
pub(crate) struct Signal {
    /// Empty once cancelled: its links are gone.
    pub(crate) parents: Vec<Id>,
    pub(crate) cause: Option<Why>,
    /// The own deadline, in ticks.
    pub(crate) armed: Option<u64>,
    pub(crate) sources: usize,
    pub(crate) tokens: usize,
    /// On the clock that is moved by hand.
    pub(crate) timed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Registered,
    Run,
    /// Taken back, or gone with its tree.
    Gone,
}

pub(crate) struct Callback {
    pub(crate) on: Option<Id>,
    pub(crate) state: State,
    /// Its registration is held.
    pub(crate) held: bool,
    /// The source that it holds and cancels.
    pub(crate) cancels: Option<Id>,
    pub(crate) panics: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    Fresh,
    /// Pending, with the one or the other waker.
    Pending(bool),
    Woken,
    Dropped,
}

pub(crate) struct Wait {
    pub(crate) on: Option<Id>,
    pub(crate) state: Waiting,
    /// How often the one and the other waker were woken.
    pub(crate) wakes: [usize; 2],
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) signals: Vec<Signal>,
    pub(crate) callbacks: Vec<Callback>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) now: u64,
}

/// One `cancel()` and what must come of it.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    /// The callbacks of those that this cancel has marked itself.
    pub(crate) own: Vec<usize>,
    /// The callbacks of those that its callbacks have cancelled.
    pub(crate) nested: Vec<usize>,
    /// How many wakes there have been, ever, when the first of its own callbacks is called.
    pub(crate) woken: usize,
}

impl Model {
    pub(crate) fn live(&self, id: Id) -> bool {
        self.signals[id].cause.is_none()
    }

    /// A new signal below these, which are live or cancelled or `None` for never.
    pub(crate) fn add(&mut self, parents: &[Option<Id>], timed: bool) -> Id {
        let mut parents: Vec<Id> = parents.iter().copied().flatten().collect();
        let cause = parents.iter().find_map(|id| self.signals[*id].cause.clone());
        if cause.is_some() {
            parents.clear();
        }
        self.signals.push(Signal { parents, cause, timed, ..Signal::default() });
        self.signals.len() - 1
    }

    fn children(&self, of: Id) -> impl Iterator<Item = Id> + '_ {
        (0..self.signals.len()).filter(move |id| self.signals[*id].parents.contains(&of))
    }

    /// Below it or itself, live.
    pub(crate) fn descendants(&self, of: Id) -> Vec<Id> {
        let mut found = vec![of];
        let mut next = 0;
        while next < found.len() {
            for child in self.children(found[next]) {
                if self.live(child) && !found.contains(&child) {
                    found.push(child);
                }
            }
            next += 1;
        }
        found
    }

    /// Above it, each once.
    fn ancestors(&self, of: Id) -> Vec<Id> {
        let mut found = self.signals[of].parents.clone();
        let mut next = 0;
        while next < found.len() {
            for parent in &self.signals[found[next]].parents {
                if !found.contains(parent) {
                    found.push(*parent);
                }
            }
            next += 1;
        }
        found
    }

    pub(crate) fn is_ancestor(&self, above: Id, below: Id) -> bool {
        self.ancestors(below).contains(&above)
    }

    /// What each is given by itself and by its parents, in the order of their numbers: parents come
    /// before their children.
    fn inherited<T: Copy>(&self, own: impl Fn(&Signal) -> T, both: impl Fn(T, T) -> T) -> Vec<T> {
        let mut all: Vec<T> = Vec::new();
        for signal in &self.signals {
            let parents = signal.parents.iter().map(|parent| all[*parent]);
            all.push(parents.fold(own(signal), &both));
        }
        all
    }

    pub(crate) fn who_can_be_cancelled(&self) -> Vec<bool> {
        let own = |signal: &Signal| {
            signal.cause.is_some() || signal.sources > 0 || signal.armed.is_some()
        };
        self.inherited(own, |own, inherited| own || inherited)
    }

    pub(crate) fn can_be_cancelled(&self, id: Id) -> bool {
        self.who_can_be_cancelled()[id]
    }

    /// The earliest of each, own or inherited.
    pub(crate) fn deadlines(&self) -> Vec<Option<u64>> {
        let earlier = |own: Option<u64>, inherited| own.into_iter().chain(inherited).min();
        self.inherited(|signal| signal.armed, earlier)
    }

    /// Those that somebody can see: by a handle, a held registration, a live descendant that is
    /// seen. Children have higher numbers than their parents.
    pub(crate) fn visible(&self) -> Vec<bool> {
        let mut visible: Vec<bool> =
            self.signals.iter().map(|signal| signal.sources + signal.tokens > 0).collect();
        for callback in &self.callbacks {
            if let (true, Some(on)) = (callback.held, callback.on) {
                visible[on] = true;
            }
        }
        for id in (0..self.signals.len()).rev() {
            if visible[id] && self.live(id) {
                self.signals[id].parents.iter().for_each(|parent| visible[*parent] = true);
            }
        }
        visible
    }

    pub(crate) fn cancel(&mut self, id: Id, why: Why) -> Option<Cancel> {
        let mut cancel = Cancel::default();
        cancel.own = self.mark(id, &why)?;
        cancel.woken = self.waits.iter().flat_map(|wait| wait.wakes).sum();
        cancel.nested = self.follow(cancel.own.clone());
        Some(cancel)
    }

    /// What else runs because these callbacks run.
    pub(crate) fn follow(&mut self, mut running: Vec<usize>) -> Vec<usize> {
        let mut nested = Vec::new();
        while let Some(callback) = running.pop() {
            if let Some(other) = self.release(callback) {
                let why = (Reason::Requested, Some(NESTED.to_owned()));
                if let Some(more) = self.mark(other, &why) {
                    nested.extend(&more);
                    running.extend(more);
                }
            }
        }
        nested
    }

    /// Marks and wakes; the callbacks to be run, if it was live.
    fn mark(&mut self, id: Id, why: &Why) -> Option<Vec<usize>> {
        if !self.live(id) {
            return None;
        }
        let marked = self.descendants(id);
        for id in &marked {
            let signal = &mut self.signals[*id];
            signal.cause = Some(why.clone());
            signal.armed = None;
        }
        for wait in &mut self.waits {
            if let (Some(on), Waiting::Pending(other)) = (wait.on, wait.state) {
                if marked.contains(&on) {
                    wait.wakes[usize::from(other)] += 1;
                    wait.state = Waiting::Woken;
                }
            }
        }
        let mut run = Vec::new();
        for (index, callback) in self.callbacks.iter_mut().enumerate() {
            let marked = callback.on.is_some_and(|on| marked.contains(&on));
            if marked && callback.state == State::Registered {
                callback.state = State::Run;
                run.push(index);
            }
        }
        Some(run)
    }

    /// The callback is no more: the source that it held is dropped. It is returned.
    pub(crate) fn release(&mut self, callback: usize) -> Option<Id> {
        let other = self.callbacks[callback].cancels.take()?;
        self.signals[other].sources -= 1;
        Some(other)
    }

    /// The links of the cancelled are gone, and what nobody can see is gone too.
    pub(crate) fn sweep(&mut self) {
        for signal in &mut self.signals {
            if signal.cause.is_some() {
                signal.parents.clear();
            }
        }
        loop {
            let visible = self.visible();
            let unseen: Vec<Id> =
                (0..self.signals.len()).filter(|id| self.live(*id) && !visible[*id]).collect();
            for id in &unseen {
                self.signals[*id].armed = None;
            }
            let gone = (0..self.callbacks.len()).find(|index| {
                let callback = &self.callbacks[*index];
                callback.state == State::Registered
                    && callback.on.is_some_and(|on| unseen.contains(&on))
            });
            let Some(gone) = gone else {
                return;
            };
            self.callbacks[gone].state = State::Gone;
            self.release(gone);
        }
    }

    /// The next deadline that is due by then.
    pub(crate) fn next_due(&self, until: u64) -> Option<Id> {
        (0..self.signals.len())
            .filter(|id| self.signals[*id].armed.is_some_and(|at| at <= until))
            .min_by_key(|id| self.signals[*id].armed)
    }
}

/// The cause that callbacks cancel with.
pub(crate) const NESTED: &str = "nested";
