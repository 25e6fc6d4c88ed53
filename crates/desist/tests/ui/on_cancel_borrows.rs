//! A callback that borrows must not outlive what it borrows.

fn main() {
    let source = desist::Source::new();
    let text = String::from("borrowed");
    let _registration = source.token().on_cancel(|_| println!("{text}"));
}
