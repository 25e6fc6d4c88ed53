//! The trait that gives every future `or_cancelled` is not for others to implement.

struct Mine;

impl desist::FutureExt for Mine {}

fn main() {}
