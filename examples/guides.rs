//! The guides of `docs/`, of which every block is compiled, and run where it can be:
//! `cargo test -p desist-examples --doc`.

#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings), allow(dead_code))))]

/// Each guide as the documentation of a module, for that is where code in it is found.
macro_rules! guides {
    ($($name:ident = $file:literal,)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../docs/", $file, ".md"))]
            mod $name {}
        )*

        #[cfg(test)]
        const GUIDES: &[(&str, &str)] = &[$(($file, include_str!(concat!("../docs/", $file, ".md"))),)*];
    };
}

guides! {
    the_idea = "01-the-idea",
    passing_the_token_down = "02-passing-the-token-down",
    checking_in_loops = "03-checking-in-loops",
    cleanup_and_shields = "04-cleanup-and-shields",
    deadlines = "05-deadlines",
    blocking_code = "06-blocking-code",
    tasks = "07-tasks",
    requests = "08-requests",
    sql = "09-sql",
}
