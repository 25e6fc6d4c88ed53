"""A switch for every mutant: an environment variable turns one of them."""

from mutation.rust import OPEN, Tokens

SWITCH = "DESIST_MUTATION"


class Switched:
    """One file in which every mutant of `chosen` has its switch."""

    def __init__(self, text, code, chosen):
        self.text, self.inserts, self.wraps = text, [], {}
        tokens = Tokens(code)
        for m in chosen:
            on = f"crate::mutation::on({m.number})"
            if m.genre == "FnValue":
                self.inserts.append((m.start, f"if {on} {{ return {m.replacement}; }} "))
            elif m.genre == "MatchArm":
                self.arm(tokens, m, on)
            else:
                start, end = (m.start, m.end) if m.genre == "MatchArmGuard" else tokens.whole(m.start, m.end)
                mutated = text[start : m.start] + f" {m.replacement} " + text[m.end : end]
                self.wraps.setdefault((start, end), []).append((on, mutated))
        self.result = self.render(0, len(text))

    def arm(self, tokens, m, on):
        i, guard = tokens.at(m.start), None
        while tokens.kinds[i] != "=>":
            if tokens.kinds[i] in OPEN:
                i = tokens.partner(i, 1)
            elif tokens.kinds[i] == "if":
                guard = tokens.ends[i]
            i += 1
        if guard is None:
            self.inserts.append((tokens.starts[i], f"if !{on} "))
        else:
            self.inserts += [(guard, f" !{on} && ("), (tokens.starts[i], ") ")]

    def render(self, start, end, within=None):
        parts, at = [], start
        spots = [(offset, 0, offset, text) for offset, text in self.inserts if start <= offset < end]
        spots += [(s, s - e, e, None) for s, e in self.wraps if start <= s and e <= end and (s, e) != within]
        for s, _, e, text in sorted(spots, key=lambda spot: spot[:2]):
            if s < at:
                continue
            parts.append(self.text[at:s])
            if text is not None:
                parts.append(text)
            else:
                for on, mutated in self.wraps[s, e]:
                    parts.append(f"{'(' if on == self.wraps[s, e][0][0] else ' else '}if {on} {{ {mutated} }}")
                parts.append(f" else {{ {self.render(s, e, (s, e))} }})")
            at = e
        return "".join(parts) + self.text[at:end]


SWITCHES = """//! Switches for mutants.
#![allow(dead_code)]
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

const UNREAD: u32 = u32::MAX;
const RECORD: u32 = u32::MAX - 1;
static TURNED: AtomicU32 = AtomicU32::new(UNREAD);
static REACHED: [AtomicBool; COUNT + 1] = [const { AtomicBool::new(false) }; COUNT + 1];

#[inline]
pub(crate) fn on(number: u32) -> bool {
    let turned = TURNED.load(Relaxed);
    turned == number || turned >= RECORD && unusual(number)
}

// Without an allocation: some tests count them.
#[allow(unsafe_code)]
fn word() -> Option<&'static str> {
    unsafe extern "C" {
        fn getenv(name: *const std::ffi::c_char) -> *const std::ffi::c_char;
    }
    // SAFETY: nobody changes the environment.
    let word = unsafe { getenv(c"DESIST_MUTATION".as_ptr()).as_ref() }?;
    unsafe { std::ffi::CStr::from_ptr(word) }.to_str().ok()
}

#[cold]
fn unusual(number: u32) -> bool {
    if TURNED.load(Relaxed) == UNREAD {
        TURNED.store(word().map_or(0, |word| word.parse().unwrap_or(RECORD)), Relaxed);
        return on(number);
    }
    if !REACHED[number as usize].swap(true, Relaxed) {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(word().unwrap());
        writeln!(file.unwrap(), "{number}").unwrap();
    }
    false
}
"""


# What ci/loom needs besides.
MORE_SWITCHES = """
pub(crate) fn order(number: u32, from: std::sync::atomic::Ordering, to: std::sync::atomic::Ordering) -> std::sync::atomic::Ordering {
    if on(number) { to } else { from }
}

pub(crate) fn never<T>(number: u32, value: Option<T>) -> Option<T> {
    if on(number) { None } else { value }
}

/// The value is computed in any case: what it does is not what is removed.
pub(crate) fn forced(always: u32, never: u32, value: bool) -> bool {
    if on(always) { true } else if on(never) { false } else { value }
}
"""
