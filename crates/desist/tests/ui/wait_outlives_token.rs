//! A borrowed wait does not outlive its token.

fn main() {
    let wait = {
        let token = desist::Source::new().token();
        token.cancelled()
    };
    drop(wait);
}
