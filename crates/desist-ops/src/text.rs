//! Texts of users, as a database can keep them.

use crate::error::{Error, Kind};

/// Letters of what people tell each other.
pub(crate) const MESSAGE: usize = 1000;
/// Of who somebody is.
pub(crate) const NAME: usize = 200;
/// Of what an error says.
pub(crate) const ERROR: usize = 8000;
/// Bytes of a key, a tag or a kind: they are in indexes, whose rows are short.
pub(crate) const INDEXED: usize = 500;

/// So many letters of it, and none that Postgres refuses.
pub(crate) fn kept(text: impl Into<String>, most: usize) -> String {
    let mut text: String = text.into();
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Whether it can be found by this again.
pub(crate) fn indexed(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(Kind::Input, format!("{what} is empty; leave it out, or name it")));
    }
    if text.len() > INDEXED {
        let said = format!("{what} has {} bytes, and {INDEXED} at most are kept", text.len());
        return Err(Error::new(Kind::TooLarge, said));
    }
    if text.contains('\0') {
        let said = format!("{what} has a zero byte in it, which no database keeps");
        return Err(Error::new(Kind::Input, said));
    }
    Ok(())
}
