//! What can be done. Numbers choose among what there is, whatever there is.

/// How many own handles: each uses its own, and hands some over.
pub(crate) const OWNERS: usize = 4;

/// One step. A `usize` chooses one of the owner's handles, modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    NewSource,
    PlainSource,
    NeverToken,
    CancelledToken(Why),
    TokenOf(usize),
    CloneSource(usize),
    CloneToken(usize),
    DropSource(usize),
    DropToken(usize),
    ChildOfSource(usize),
    ChildOfToken(usize),
    ChildWithTimeout(usize, u8),
    Linked(Vec<usize>),
    Any(Vec<usize>),
    Shielded(usize),
    ShieldedFor(usize, u8),
    OnCancel(usize, Then),
    Unregister(usize, Way),
    DropRegistration(usize),
    Detach(usize),
    Wait(usize, Form),
    Poll(usize, bool),
    DropWait(usize),
    Guard(usize, bool),
    DropGuard(usize),
    DisarmGuard(usize),
    Cancel(usize, Why),
    Arm(usize, u8, bool),
    ArmEndless(usize),
    Disarm(usize),
    Advance(u8),
    /// A body runs with a callback that borrows; the body does this.
    Scope(usize, Then),
    /// A handle goes to the owner of the last number.
    Pass(Handle, usize, usize),
}

/// What a callback does when it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Nothing,
    /// Cancels the source of this number.
    Cancel(usize),
    Panic,
}

/// What is handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handle {
    Source,
    Token,
    Guard,
    Registration,
    Wait,
}

/// How a registration is taken back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Now,
    Blocking,
    Awaited,
}

/// What waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Owned,
    Borrowed,
    Run,
}

/// The cause handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why {
    Plainly,
    Reason(u8),
    Text(u8),
    Detail(u8, u8),
    /// The cause of the token of this number, if it is cancelled.
    LikeToken(usize),
}
