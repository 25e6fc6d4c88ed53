//! A cancellation is evidence: it comes from a token and cannot be made up.

fn main() {
    let _: desist::Cancelled = desist::Reason::Requested.into();
}
