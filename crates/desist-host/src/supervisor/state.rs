//! Where a service is, and when it came there.

use std::time::Duration;

use super::event::{How, Stage};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Service {
    pub(crate) state: State,
    pub(crate) times: Times,
    /// How it came to the end of its last run, or start.
    pub(crate) how: Option<How>,
    /// Restarts in all, and since it last was steady.
    pub(crate) restarts: u32,
    pub(super) in_a_row: u32,
    /// In this life.
    pub(super) has_failed: bool,
    /// A failure of it is in the exit code.
    pub(crate) is_counted: bool,
    /// It was dropped in the middle of its run, or of its cleanup, or is still there.
    pub(crate) is_straggler: bool,
    /// Its cleanup was dropped in the middle.
    pub(crate) is_dirty: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Waiting,
    Live(Life),
    /// Until it is started again.
    Resting {
        until: Duration,
    },
    Over,
    /// Given up: it was aborted and is still there.
    Lost,
}

/// `until` is when the next request comes; with nothing asked, and in a run, never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    pub(crate) asked: Asked,
    pub(crate) until: Duration,
}

/// In the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Asked {
    Nothing,
    Drain,
    Stop,
    Abort,
}

/// Of its first life the begin, of the last one the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Times {
    pub(crate) begun: Option<Duration>,
    pub(crate) started: Option<Duration>,
    /// For the first time, to whatever.
    pub(crate) asked: Option<Duration>,
    pub(crate) drained: Option<Duration>,
    pub(crate) stopped: Option<Duration>,
    pub(crate) aborted: Option<Duration>,
    pub(crate) ran: Option<Duration>,
    pub(crate) over: Option<Duration>,
}

impl State {
    pub(super) fn until(self) -> Option<Duration> {
        match self {
            Self::Live(Life { until, .. }) | Self::Resting { until } => {
                (until < Duration::MAX).then_some(until)
            }
            Self::Waiting | Self::Over | Self::Lost => None,
        }
    }
}

impl Service {
    pub(super) fn new() -> Self {
        Self {
            state: State::Waiting,
            times: Times::default(),
            how: None,
            restarts: 0,
            in_a_row: 0,
            has_failed: false,
            is_counted: false,
            is_straggler: false,
            is_dirty: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over | State::Lost)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    /// Nobody who comes after it need wait any longer.
    pub(super) fn has_settled(&self) -> bool {
        let runs = matches!(
            self.state,
            State::Live(Life { stage: Stage::Run, asked: Asked::Nothing, .. })
        );
        runs || self.is_over()
    }

    /// The host has to ask it yet.
    pub(super) fn is_unasked(&self) -> bool {
        matches!(
            self.state,
            State::Live(Life { stage: Stage::Start | Stage::Run, asked: Asked::Nothing, .. })
        )
    }

    /// None: its run never began.
    pub(super) fn ran_for(&self) -> Option<Duration> {
        Some(self.times.ran?.saturating_sub(self.times.started?))
    }

    pub(super) fn ask(&mut self, now: Duration, asked: Asked, until: Duration) {
        let State::Live(life) = &mut self.state else { return };
        life.asked = asked;
        life.until = until;
        let time = match asked {
            Asked::Nothing => return,
            Asked::Drain => &mut self.times.drained,
            Asked::Stop => &mut self.times.stopped,
            Asked::Abort => &mut self.times.aborted,
        };
        *time = Some(now);
        self.times.asked.get_or_insert(now);
    }

    pub(super) fn live_again(&mut self, now: Duration, until: Duration) {
        self.restarts += u32::from(self.times.begun.is_some());
        self.state = State::Live(Life { stage: Stage::Start, asked: Asked::Nothing, until });
        let begun = self.times.begun.or(Some(now));
        self.times = Times { begun, ..Times::default() };
        self.has_failed = false;
    }

    pub(super) fn give_up(&mut self) {
        self.state = State::Lost;
        self.is_straggler = true;
    }

    pub(super) fn note(&mut self, stage: Stage, how: How, is_stopping: bool) {
        self.is_straggler |= is_stopping && how == How::Aborted;
        self.is_dirty |= stage == Stage::Cleanup && how == How::Aborted;
        if stage != Stage::Cleanup && !(stage == Stage::Start && how == How::Done) {
            self.how = Some(how);
        }
    }
}
