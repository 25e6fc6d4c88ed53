//! No way leads from the right to observe to the right to cancel.

fn main() {
    let source = desist::Source::new();
    let again: desist::Source = source.token().into();
    drop(again);
}
