//! What is said of a work, to a page and to a terminal.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// One line of the log.
#[derive(Clone, Serialize)]
pub(crate) struct Line {
    pub(super) work: u64,
    pub(super) what: &'static str,
    #[serde(flatten)]
    pub(super) said: Said,
}

#[derive(Clone, Serialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub(super) enum Said {
    Begun {
        #[serde(rename = "for")]
        whom: String,
        mark: Option<u64>,
        operation: Option<String>,
    },
    Progress {
        done: u64,
        total: Option<u64>,
    },
    Asked {
        by: String,
        reason: &'static str,
        detail: Option<String>,
    },
    Stopped {
        by: String,
        reason: &'static str,
        detail: Option<String>,
        /// Of a request whose client is gone.
        status: Option<u16>,
        /// `None`: it never looked.
        heard_ms: Option<f64>,
        stopped_ms: f64,
    },
    Failed {
        why: String,
    },
    Finished {
        took_ms: f64,
    },
}

impl Said {
    /// After that nothing is said of it.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Stopped { .. } | Self::Failed { .. } | Self::Finished { .. })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ", self.work, self.what)?;
        match &self.said {
            Said::Begun { whom, .. } => write!(f, "begun for {whom}"),
            Said::Progress { done, total: None } => write!(f, "at {done}"),
            Said::Progress { done, total: Some(total) } => write!(f, "at {done} of {total}"),
            Said::Asked { by, reason, detail } => {
                write!(f, "asked to stop by {by}: {reason}")?;
                bracketed(f, detail)
            }
            Said::Stopped { by, reason, detail, status, heard_ms, stopped_ms } => {
                write!(f, "stopped by {by}: {reason}")?;
                bracketed(f, detail)?;
                if let Some(status) = status {
                    write!(f, "; {status}")?;
                }
                match heard_ms {
                    Some(heard_ms) => write!(f, "; heard after {heard_ms:.2} ms")?,
                    None => f.write_str("; it never heard, and was dropped")?,
                }
                write!(f, ", stopped after {stopped_ms:.2} ms")
            }
            Said::Failed { why } => write!(f, "failed: {why}"),
            Said::Finished { took_ms } => write!(f, "finished after {took_ms:.0} ms"),
        }
    }
}

fn bracketed(f: &mut fmt::Formatter<'_>, detail: &Option<String>) -> fmt::Result {
    let Some(detail) = detail else { return Ok(()) };
    f.write_str(" (")?;
    // Anybody may have written it: it is to do nothing to the terminal, nor look like a line.
    for letter in detail.chars() {
        if letter.is_control() || turns_the_line(letter) {
            write!(f, "{}", letter.escape_default())?;
        } else {
            f.write_char(letter)?;
        }
    }
    f.write_char(')')
}

/// Of Unicode's letters for lines and directions, which are no control characters to Rust.
fn turns_the_line(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_wrote_does_nothing_to_the_terminal() {
        let detail = Some("a\u{1b}[2J\n\u{202e}b\u{2028}é".to_owned());
        let said = Said::Asked { by: "a visitor".into(), reason: "requested", detail };
        let line = Line { work: 7, what: "import", said }.to_string();
        let expected =
            "#7 import asked to stop by a visitor: requested (a\\u{1b}[2J\\n\\u{202e}b\\u{2028}é)";
        assert_eq!(line, expected);
    }
}
