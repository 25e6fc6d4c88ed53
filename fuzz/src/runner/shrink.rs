//! A failing input, made small: pieces are taken out, and numbers made zero, as long as it fails.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use desist_fuzz::Target;

/// Shrinking takes no longer than about this.
const ENOUGH: Duration = Duration::from_secs(60);

/// `None` if it does not fail again.
pub(crate) fn shrink(target: Target, input: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let file = env::temp_dir().join(format!("desist-shrink-{}", std::process::id()));
    let small = smaller(input, Instant::now() + ENOUGH, |data| fails(target, data, &file));
    let _ = fs::remove_file(&file);
    small
}

/// In a process of its own: it may crash, and it may hang.
fn fails(target: Target, data: &[u8], file: &Path) -> io::Result<bool> {
    fs::write(file, data)?;
    let status = Command::new(env::current_exe()?)
        .args(["--quiet", "--patience", "4", "--target", target.name(), "--replay"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(!status.success())
}

fn smaller(
    input: &[u8],
    until: Instant,
    mut fails: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<Option<Vec<u8>>> {
    if !fails(input)? {
        return Ok(None);
    }
    let mut small = input.to_vec();
    loop {
        let before = small.clone();
        let mut length = small.len().div_ceil(2);
        while length > 0 {
            // From the end on: what comes last depends on what comes first.
            let mut end = small.len();
            while end > 0 {
                let begin = end.saturating_sub(length);
                let mut less = small.clone();
                less.drain(begin..end);
                if fails(&less)? {
                    small = less;
                }
                if Instant::now() > until {
                    return Ok(Some(small));
                }
                end = begin;
            }
            length /= 2;
        }
        for place in 0..small.len() {
            let mut less = small.clone();
            less[place] = 0;
            if small[place] != 0 && fails(&less)? {
                small = less;
            }
            if Instant::now() > until {
                return Ok(Some(small));
            }
        }
        if small == before {
            return Ok(Some(small));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_taken_out() {
        let input: Vec<u8> = (0..200).collect();
        let later = Instant::now() + ENOUGH;
        let needs = |data: &[u8]| Ok(data.contains(&17) && data.ends_with(&[198, 199]));
        assert_eq!(smaller(&input, later, needs).expect("no error"), Some(vec![17, 198, 199]));
        let many = |data: &[u8]| Ok(data.len() > 3);
        assert_eq!(smaller(&input, later, many).expect("no error"), Some(vec![0; 4]));
        assert_eq!(smaller(&input, later, |_| Ok(false)).expect("no error"), None);
    }
}
