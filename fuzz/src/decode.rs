//! Bytes to operations. Every byte string means something; what is missing at its end is zero.
//!
//! For the model: one byte says who (two bits) and what (six bits), then come the operation's
//! numbers, a byte each. For threads: four bytes are one action, of the thread that the two upper
//! bits of the first name. The numbers below are what the corpus is written in: a new operation
//! takes one that is a repetition, and all others stay.

use crate::operations::{Form, Handle, OWNERS, Operation, Then, Way, Why};
use crate::shared::Action;

/// More than that is slow, and shows nothing that less does not.
const MOST_STEPS: usize = 160;

struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn number(&mut self) -> usize {
        usize::from(self.byte())
    }

    fn bit(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn list(&mut self) -> Vec<usize> {
        (0..self.number() % 5).map(|_| self.number()).collect()
    }

    fn why(&mut self) -> Why {
        match self.byte() % 5 {
            0 => Why::Plainly,
            1 => Why::Reason(self.byte()),
            2 => Why::Text(self.byte()),
            3 => Why::Detail(self.byte(), self.byte()),
            _ => Why::LikeToken(self.number()),
        }
    }

    fn then(&mut self) -> Then {
        match self.byte() % 8 {
            0..5 => Then::Nothing,
            5 | 6 => Then::Cancel(self.number()),
            _ => Then::Panic,
        }
    }

    fn way(&mut self) -> Way {
        match self.byte() % 3 {
            0 => Way::Now,
            1 => Way::Blocking,
            _ => Way::Awaited,
        }
    }

    fn form(&mut self) -> Form {
        match self.byte() % 3 {
            0 => Form::Owned,
            1 => Form::Borrowed,
            _ => Form::Run,
        }
    }

    fn handle(&mut self) -> Handle {
        match self.byte() % 5 {
            0 => Handle::Source,
            1 => Handle::Token,
            2 => Handle::Guard,
            3 => Handle::Registration,
            _ => Handle::Wait,
        }
    }

    /// Numbers from 33 on repeat what makes the most of the others.
    fn operation(&mut self, what: u8) -> Operation {
        match what {
            0 => Operation::NewSource,
            1 => Operation::PlainSource,
            2 => Operation::NeverToken,
            3 => Operation::CancelledToken(self.why()),
            4 | 33 | 34 => Operation::TokenOf(self.number()),
            5 => Operation::CloneSource(self.number()),
            6 => Operation::CloneToken(self.number()),
            7 | 35 | 36 => Operation::DropSource(self.number()),
            8 | 37 | 38 => Operation::DropToken(self.number()),
            9 => Operation::ChildOfSource(self.number()),
            10 | 39 | 40 => Operation::ChildOfToken(self.number()),
            11 => Operation::ChildWithTimeout(self.number(), self.byte()),
            12 | 41 | 42 => Operation::Linked(self.list()),
            13 | 43 | 44 => Operation::Any(self.list()),
            14 => Operation::Shielded(self.number()),
            15 => Operation::ShieldedFor(self.number(), self.byte()),
            16 | 45..49 => Operation::OnCancel(self.number(), self.then()),
            17 => Operation::Unregister(self.number(), self.way()),
            18 | 49 => Operation::DropRegistration(self.number()),
            19 => Operation::Detach(self.number()),
            20 | 50 | 51 => Operation::Wait(self.number(), self.form()),
            21 | 52..55 => Operation::Poll(self.number(), self.bit()),
            22 => Operation::DropWait(self.number()),
            23 => Operation::Guard(self.number(), self.bit()),
            24 => Operation::DropGuard(self.number()),
            25 => Operation::DisarmGuard(self.number()),
            26 | 55 | 56 => Operation::Cancel(self.number(), self.why()),
            27 | 57 | 58 => Operation::Arm(self.number(), self.byte(), self.bit()),
            28 => Operation::ArmEndless(self.number()),
            29 => Operation::Disarm(self.number()),
            30 | 59 => Operation::Advance(self.byte()),
            31 => Operation::Scope(self.number(), self.then()),
            _ => Operation::Pass(self.handle(), self.number(), self.number()),
        }
    }
}

/// Who does what.
pub(crate) fn steps(data: &[u8]) -> Vec<(usize, Operation)> {
    let mut bytes = Bytes(data.iter());
    let mut steps = Vec::new();
    while steps.len() < MOST_STEPS {
        let Some(first) = bytes.0.next() else { break };
        steps.push((usize::from(first >> 6) % OWNERS, bytes.operation(first & 0x3f)));
    }
    steps
}

/// The programs of two or three threads: the lowest bit of the first byte says how many.
pub(crate) fn programs(data: &[u8]) -> Vec<Vec<Action>> {
    let threads = 2 + usize::from(data.first().copied().unwrap_or(0) & 1);
    let mut programs = vec![Vec::new(); threads];
    for chunk in data.get(1..).unwrap_or_default().chunks(4).take(MOST_STEPS) {
        let mut action = [0; 4];
        action[..chunk.len()].copy_from_slice(chunk);
        let thread = usize::from(action[0] >> 6) % threads;
        action[0] &= 0x3f;
        programs[thread].push(action);
    }
    programs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A number for each kind of operation, without a gap. A new one does not compile until it
    /// has its number here.
    fn kind(operation: &Operation) -> usize {
        match operation {
            Operation::NewSource => 0,
            Operation::PlainSource => 1,
            Operation::NeverToken => 2,
            Operation::CancelledToken(_) => 3,
            Operation::TokenOf(_) => 4,
            Operation::CloneSource(_) => 5,
            Operation::CloneToken(_) => 6,
            Operation::DropSource(_) => 7,
            Operation::DropToken(_) => 8,
            Operation::ChildOfSource(_) => 9,
            Operation::ChildOfToken(_) => 10,
            Operation::ChildWithTimeout(..) => 11,
            Operation::Linked(_) => 12,
            Operation::Any(_) => 13,
            Operation::Shielded(_) => 14,
            Operation::ShieldedFor(..) => 15,
            Operation::OnCancel(_, then) => 16 + kind_of_then(*then),
            Operation::Unregister(_, Way::Now) => 19,
            Operation::Unregister(_, Way::Blocking) => 20,
            Operation::Unregister(_, Way::Awaited) => 21,
            Operation::DropRegistration(_) => 22,
            Operation::Detach(_) => 23,
            Operation::Wait(_, Form::Owned) => 24,
            Operation::Wait(_, Form::Borrowed) => 25,
            Operation::Wait(_, Form::Run) => 26,
            Operation::Poll(_, other) => 27 + usize::from(*other),
            Operation::DropWait(_) => 29,
            Operation::Guard(_, owned) => 30 + usize::from(*owned),
            Operation::DropGuard(_) => 32,
            Operation::DisarmGuard(_) => 33,
            Operation::Cancel(_, why) => 34 + kind_of_why(*why),
            Operation::Arm(_, _, by_instant) => 39 + usize::from(*by_instant),
            Operation::ArmEndless(_) => 41,
            Operation::Disarm(_) => 42,
            Operation::Advance(_) => 43,
            Operation::Scope(_, then) => 44 + kind_of_then(*then),
            Operation::Pass(what, ..) => 47 + kind_of_handle(*what),
        }
    }

    fn kind_of_then(then: Then) -> usize {
        match then {
            Then::Nothing => 0,
            Then::Cancel(_) => 1,
            Then::Panic => 2,
        }
    }

    fn kind_of_why(why: Why) -> usize {
        match why {
            Why::Plainly => 0,
            Why::Reason(_) => 1,
            Why::Text(_) => 2,
            Why::Detail(..) => 3,
            Why::LikeToken(_) => 4,
        }
    }

    fn kind_of_handle(what: Handle) -> usize {
        match what {
            Handle::Source => 0,
            Handle::Token => 1,
            Handle::Guard => 2,
            Handle::Registration => 3,
            Handle::Wait => 4,
        }
    }

    #[test]
    fn every_kind_of_operation_has_its_bytes_for_every_owner() {
        let kinds = kind(&Operation::Pass(Handle::Wait, 0, 0)) + 1;
        for owner in 0..OWNERS {
            let mut seen = BTreeSet::new();
            for what in 0..64 {
                for detail in 0..8 {
                    let first = u8::try_from(owner << 6).expect("two bits") | what;
                    let data = [first, detail, detail, detail];
                    let (by, operation) = &steps(&data)[0];
                    assert_eq!(*by, owner);
                    seen.insert(kind(operation));
                }
            }
            assert_eq!(seen, (0..kinds).collect());
        }
    }

    #[test]
    fn every_byte_string_means_something_and_ends() {
        for first in 0..=u8::MAX {
            let long = [first].repeat(5_000);
            for length in [0, 1, 2, 3, 4, 5, 7, 100, 5_000] {
                assert!(steps(&long[..length]).len() <= length.min(MOST_STEPS));
                let programs = programs(&long[..length]);
                let actions: usize = programs.iter().map(Vec::len).sum();
                assert!((2..=3).contains(&programs.len()) && actions <= MOST_STEPS);
            }
        }
    }

    /// What the corpus is written in does not change by accident.
    #[test]
    fn known_bytes_mean_what_they_always_meant() {
        let data = [0, 0x44, 3, 0x80 | 12, 2, 1, 7, 16, 9, 6, 5, 63, 3, 1, 2, 26];
        let said: Vec<String> =
            steps(&data).iter().map(|(by, what)| format!("{by} {what:?}")).collect();
        let expected = [
            "0 NewSource",
            "1 TokenOf(3)",
            "2 Linked([1, 7])",
            "0 OnCancel(9, Cancel(5))",
            "0 Pass(Registration, 1, 2)",
            "0 Cancel(0, Plainly)",
        ];
        assert_eq!(said, expected);
        let data = [1, 0x01, 2, 3, 4, 0x82, 5];
        assert_eq!(programs(&data), [vec![[1, 2, 3, 4]], vec![], vec![[2, 5, 0, 0]]]);
    }

    #[test]
    fn every_thread_can_do_every_action() {
        for what in 0..64 {
            for (thread, first) in [what, 0x40 | what, 0x80 | what].into_iter().enumerate() {
                assert_eq!(programs(&[1, first, 1])[thread], [[what, 1, 0, 0]]);
            }
        }
    }
}
