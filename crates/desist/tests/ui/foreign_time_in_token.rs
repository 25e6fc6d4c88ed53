//! A token cannot arm or disarm the signal it observes.

fn main() {
    let source = desist::Source::new();
    source.token().cancel_after(std::time::Duration::ZERO);
    source.token().disarm();
}
