//! What can be done. Numbers choose among what there is, whatever there is.

use proptest::prelude::*;

/// One step. A `usize` chooses a handle, modulo how many there are.
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
}

/// What a callback does when it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Nothing,
    /// Cancels the source of this number.
    Cancel(usize),
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

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![
        3 => Just(Why::Plainly),
        2 => any::<u8>().prop_map(Why::Reason),
        2 => any::<u8>().prop_map(Why::Text),
        2 => any::<(u8, u8)>().prop_map(|(reason, text)| Why::Detail(reason, text)),
        1 => any::<usize>().prop_map(Why::LikeToken),
    ]
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![
        5 => Just(Then::Nothing),
        1 => any::<usize>().prop_map(Then::Cancel),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Now), Just(Way::Blocking), Just(Way::Awaited)]
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Owned), Just(Form::Borrowed), Just(Form::Run)]
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;

    let which = any::<usize>;
    let list = || proptest::collection::vec(any::<usize>(), 0..5);
    let making = prop_oneof![
        4 => Just(NewSource),
        1 => Just(PlainSource),
        1 => Just(NeverToken),
        1 => why().prop_map(CancelledToken),
        6 => which().prop_map(TokenOf),
        2 => which().prop_map(CloneSource),
        2 => which().prop_map(CloneToken),
        3 => which().prop_map(ChildOfSource),
        4 => which().prop_map(ChildOfToken),
        2 => (which(), any::<u8>()).prop_map(|(at, after)| ChildWithTimeout(at, after)),
        4 => list().prop_map(Linked),
        3 => list().prop_map(Any),
        1 => which().prop_map(Shielded),
        1 => (which(), any::<u8>()).prop_map(|(at, after)| ShieldedFor(at, after)),
        2 => (which(), any::<bool>()).prop_map(|(at, owned)| Guard(at, owned)),
    ];
    let attaching = prop_oneof![
        5 => (which(), then()).prop_map(|(at, then)| OnCancel(at, then)),
        2 => which().prop_map(Detach),
        4 => (which(), form()).prop_map(|(at, form)| Wait(at, form)),
        6 => (which(), any::<bool>()).prop_map(|(at, other)| Poll(at, other)),
    ];
    let ending = prop_oneof![
        5 => which().prop_map(DropSource),
        5 => which().prop_map(DropToken),
        2 => (which(), way()).prop_map(|(at, way)| Unregister(at, way)),
        2 => which().prop_map(DropRegistration),
        2 => which().prop_map(DropWait),
        2 => which().prop_map(DropGuard),
        2 => which().prop_map(DisarmGuard),
    ];
    let firing = prop_oneof![
        4 => (which(), why()).prop_map(|(at, why)| Cancel(at, why)),
        4 => (which(), any::<u8>(), any::<bool>()).prop_map(|(at, after, by)| Arm(at, after, by)),
        1 => which().prop_map(ArmEndless),
        1 => which().prop_map(Disarm),
        3 => any::<u8>().prop_map(Advance),
    ];
    prop_oneof![8 => making, 5 => attaching, 5 => ending, 3 => firing]
}
