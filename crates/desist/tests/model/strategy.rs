//! Operations by chance, weighted so that most have something to work on.

use proptest::prelude::*;

use crate::operations::{Form, Handle, OWNERS, Operation, Then, Way, Why};

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
        1 => Just(Then::Panic),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Now), Just(Way::Blocking), Just(Way::Awaited)]
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Owned), Just(Form::Borrowed), Just(Form::Run)]
}

fn handle() -> impl Strategy<Value = Handle> {
    use Handle::*;

    prop_oneof![Just(Source), Just(Token), Just(Guard), Just(Registration), Just(Wait)]
}

/// Who does it, and what. The first does most, so that much comes together at one owner.
pub(crate) fn step() -> impl Strategy<Value = (usize, Operation)> {
    (prop_oneof![2 => Just(0), 1 => 0..OWNERS], operation())
}

fn operation() -> impl Strategy<Value = Operation> {
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
        3 => (handle(), which(), which()).prop_map(|(what, at, to)| Pass(what, at, to)),
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
        1 => (which(), then()).prop_map(|(at, then)| Scope(at, then)),
    ];
    prop_oneof![8 => making, 5 => attaching, 5 => ending, 3 => firing]
}
