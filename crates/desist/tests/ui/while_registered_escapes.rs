//! What a scoped callback borrows cannot be moved away by the body.

fn main() {
    let source = desist::Source::new();
    let text = String::from("borrowed");
    source
        .token()
        .while_registered(|_| println!("{text}"), || drop(text));
}
