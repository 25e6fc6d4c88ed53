//! Chance that comes again.

use std::time::{SystemTime, UNIX_EPOCH};

/// The same every time from one seed.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    /// Other dice for somebody else, so that who is quicker changes nothing.
    pub(crate) fn another(&mut self) -> Self {
        Self::new(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 31
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n as u64 + 1) as usize);
        }
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len() as u64) as usize) }
    }
}

fn said(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `DESIST_CHAOS_SEED`, or one of now.
pub(crate) fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    said("DESIST_CHAOS_SEED").unwrap_or_else(|| now() % 1_000_000)
}

/// `DESIST_CHAOS_SECONDS`.
pub(crate) fn seconds(otherwise: u64) -> u64 {
    said("DESIST_CHAOS_SECONDS").unwrap_or(otherwise)
}

/// Whether what is aimed at is asked for.
pub(crate) fn aims() -> bool {
    said("DESIST_CHAOS_AIM").is_some()
}
