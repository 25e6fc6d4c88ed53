//! What an operation is called.

use std::fmt;
use std::str::FromStr;

/// The letters of an id: no two of them look alike, and no word is made of them by chance.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const PREFIX: &str = "op_";
const LENGTH: usize = 26;

/// What an operation is called: 130 bits from the system's generator of random numbers. Nobody
/// can guess it; who may do what with it is still to be asked.
///
/// ```
/// use desist_ops::OperationId;
///
/// let id = OperationId::random();
/// assert_eq!(id.to_string().parse(), Ok(id));
/// assert!("op_7".parse::<OperationId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId([u8; LENGTH]);

impl OperationId {
    /// One that nobody has.
    ///
    /// # Panics
    ///
    /// The system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(letters())
    }
}

/// As many letters, at random.
pub(crate) fn letters<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the system has no random numbers: {error}");
    }
    bytes.map(|byte| LETTERS[usize::from(byte & 31)])
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|&letter| fmt::Write::write_char(f, char::from(letter)))
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OperationId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let letters = text.strip_prefix(PREFIX).ok_or(NotAnId)?;
        let letters: [u8; LENGTH] = letters.as_bytes().try_into().map_err(|_| NotAnId)?;
        if letters.iter().all(|letter| LETTERS.contains(letter)) {
            Ok(Self(letters))
        } else {
            Err(NotAnId)
        }
    }
}

/// A text is not the id of an operation.
///
/// ```
/// let error = "seven".parse::<desist_ops::OperationId>().unwrap_err();
/// assert_eq!(error.to_string(), "an operation's id is `op_` and 26 letters and digits");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation's id is `op_` and 26 letters and digits")
    }
}

impl std::error::Error for NotAnId {}
