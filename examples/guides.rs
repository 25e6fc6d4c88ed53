//! The guides of `docs/`, its page on what it costs, and the README, of which every block is
//! compiled, and run where it can be: `cargo test -p desist-examples --doc`.

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
    services_and_shutdown = "10-services-and-shutdown",
    operations = "11-operations",
    testing = "12-testing",
    mistakes = "13-mistakes",
}

#[cfg(doctest)]
#[doc = include_str!("../docs/performance.md")]
mod performance {}

/// That of the project: those of the crates are compiled there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(test)]
mod tests {
    use super::GUIDES;

    /// The blocks of one language, of all guides.
    fn blocks(language: &str) -> Vec<&'static str> {
        let begin = format!("\n```{language}\n");
        let in_guide = |(_, text): &(_, &'static str)| {
            text.split(&begin)
                .skip(1)
                .filter_map(|rest| rest.split("```").next())
                .collect::<Vec<_>>()
        };
        GUIDES.iter().flat_map(in_guide).collect()
    }

    #[test]
    fn what_is_shown_of_a_file_is_the_file() {
        assert_eq!(blocks("ini"), [include_str!("../docs/deploy/showcase.service")]);
        assert_eq!(blocks("yaml"), [include_str!("../docs/deploy/showcase.yaml")]);
    }

    #[test]
    fn each_leads_to_the_next() {
        for (at, (file, text)) in GUIDES.iter().enumerate() {
            let next = GUIDES.get(at + 1).map_or("README", |(next, _)| next);
            let last = text.lines().last().unwrap_or_default();
            assert!(
                last.starts_with("Next: ") && last.contains(&format!("({next}.md)")),
                "{file}: {last}"
            );
        }
    }
}
