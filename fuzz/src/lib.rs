//! Byte strings as operations on signals. `model` compares each step with the naive model of
//! the crate's tests; `threads` runs them on real threads and checks what must hold in any order.
#![forbid(unsafe_code)]

#[path = "../../crates/desist/tests/common/watching.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../crates/desist/tests/model/operations.rs"]
mod operations;
#[path = "../../crates/desist/tests/model/reference.rs"]
mod reference;
#[path = "../../crates/desist/tests/model/shared.rs"]
mod shared;
#[path = "../../crates/desist/tests/model/world.rs"]
mod world;

mod decode;

/// What the bytes are taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Model,
    Threads,
}

impl Target {
    pub const ALL: [Self; 2] = [Self::Model, Self::Threads];

    /// The name of its libFuzzer target, and of the folder of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Threads => "threads",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Panics if something is not as promised.
    pub fn run(self, data: &[u8]) {
        match self {
            Self::Model => {
                let mut world = world::World::new();
                for (by, operation) in &decode::steps(data) {
                    world.apply(*by, operation);
                    world.compare();
                }
                world.end();
            }
            Self::Threads => shared::run(&decode::programs(data)),
        }
    }

    /// What the bytes mean, line by line.
    pub fn describe(self, data: &[u8]) -> Vec<String> {
        match self {
            Self::Model => {
                let steps = decode::steps(data);
                steps.iter().map(|(by, operation)| format!("owner {by}: {operation:?}")).collect()
            }
            Self::Threads => {
                let programs = decode::programs(data);
                let lines = programs.iter().enumerate();
                lines.map(|(thread, program)| format!("thread {thread}: {program:?}")).collect()
            }
        }
    }
}
