//! Counts on a thread of its own, which nothing can stop but its own look at the token.

use std::panic::resume_unwind;

use desist::{Cancelled, Token};
use desist_mediator::Invalid;
use tokio::task::spawn_blocking;

use super::{Asked, Work, at_most};

pub(crate) struct Primes {
    pub(crate) below: u64,
}

impl Work for Primes {
    type Response = u64;

    const NAME: &'static str = "primes on a thread";

    fn validate(&self) -> Result<(), Invalid> {
        at_most(1_000_000_000, "below", self.below)
    }
}

pub(crate) async fn primes(stop: Token, asked: Asked<Primes>) -> Result<u64, Cancelled> {
    let Asked { work: Primes { below }, entry, .. } = asked;
    let counts = spawn_blocking(move || {
        let counted = count(below, &stop, |done| entry.progress(done, Some(below)));
        // Whoever waits for it may be gone.
        counted.inspect_err(|cancelled| entry.heard(cancelled))
    });
    match counts.await {
        Ok(counted) => counted,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

fn count(below: u64, stop: &Token, tell: impl Fn(u64)) -> Result<u64, Cancelled> {
    let mut primes = 0;
    for number in 2..below {
        // One load: it costs nothing to look every time.
        stop.check()?;
        if number % 100_000 == 0 {
            tell(number);
        }
        let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
        primes += u64::from(divisors.all(|divisor| number % divisor != 0));
    }
    Ok(primes)
}
