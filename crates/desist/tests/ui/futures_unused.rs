//! Futures do nothing unless they are awaited.

#![deny(unused_must_use)]

use desist::FutureExt;

fn main() {
    let token = desist::Source::new().token();
    token.cancelled();
    token.clone().cancelled_owned();
    token.run(std::future::ready(1));
    token.clone().run_owned(std::future::ready(1));
    std::future::ready(1).or_cancelled(&token);
    token.on_cancel(|_| ()).unregistered();
}
