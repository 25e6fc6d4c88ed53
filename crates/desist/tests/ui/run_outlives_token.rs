//! A borrowed run does not outlive its token.

fn main() {
    let run = {
        let token = desist::Source::new().token();
        token.run(std::future::ready(1))
    };
    drop(run);
}
