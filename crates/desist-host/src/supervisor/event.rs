//! What goes in and what comes out. Services are numbers: their places in the plan.

use std::time::Duration;

use crate::phase::Phase;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The first.
    Begin,
    /// What was waited for has come.
    Time,
    /// A service has come to the end of a stage.
    Did(usize, Stage, How),
    /// It was asked to drain, and never looks whether it is.
    NothingToDrain(usize),
    /// Somebody asks for the stop.
    Stop,
    /// Somebody asks a second time.
    Force,
}

/// What a service has to do, one after the other. After a start that failed nothing follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Start,
    Run,
    Cleanup,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Done,
    /// Because it was asked to stop.
    Stopped,
    Failed,
    Panicked,
    /// It was dropped in the middle.
    Aborted,
    /// With its runtime.
    Gone,
}

impl How {
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Panicked | Self::Gone)
    }
}

/// Why the host stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    Asked,
    Failed(usize),
    Ended(usize),
    /// Every service has ended, and none of them ends the host.
    NothingLeft,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Start(usize),
    Drain(usize),
    Stop(usize),
    /// What it is at: after a run that was aborted its cleanup has its own time.
    Abort(usize, Stage),
    /// It is started again after this pause.
    Rest(usize, Duration),
    /// To be noted as a failure: it has not started in its time.
    StartedLate(usize),
    /// To be noted as a failure: it has ended, and should not have.
    EndedEarly(usize),
    Phase(Phase),
    /// The last.
    Finish,
}
