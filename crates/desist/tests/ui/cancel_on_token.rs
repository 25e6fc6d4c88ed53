//! A token observes; the right to cancel is the source's.

fn main() {
    let source = desist::Source::new();
    source.token().cancel();
}
