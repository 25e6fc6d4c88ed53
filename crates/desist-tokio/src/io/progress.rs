use std::time::{Duration, Instant};

/// How far a [`copy`](crate::io::copy()) has come.
///
/// ```
/// use desist::Token;
/// use desist_tokio::io::copy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut last = None;
/// copy(&b"12345678"[..], tokio::io::sink(), &Token::never(), |progress| last = Some(progress))
///     .total(16)
///     .await
///     .unwrap();
/// let last = last.unwrap();
/// assert_eq!((last.bytes(), last.total(), last.fraction()), (8, Some(16), Some(0.5)));
/// assert!(last.rate() > 0.0);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub(super) bytes: u64,
    pub(super) total: Option<u64>,
    /// The first poll.
    pub(super) begin: Instant,
}

impl Progress {
    /// So many bytes went through.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut bytes = 0;
    /// let token = Token::never();
    /// let copied = desist_tokio::io::copy(&b"12"[..], tokio::io::sink(), &token, |progress| {
    ///     bytes = progress.bytes();
    /// });
    /// assert_eq!(copied.await.unwrap(), 2);
    /// assert_eq!(bytes, 2);
    /// # }
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many there will be, if [that is known](crate::io::Copy::total).
    ///
    /// ```
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::never();
    /// let copied = desist_tokio::io::copy(&b"12"[..], tokio::io::sink(), &token, |progress| {
    ///     assert_eq!(progress.total(), None);
    /// });
    /// copied.await.unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The part of the total that went through, from 0 to 1.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::never();
    /// let copied = desist_tokio::io::copy(&b"12"[..], tokio::io::sink(), &token, |progress| {
    ///     assert_eq!(progress.fraction(), Some(1.0));
    /// });
    /// copied.total(2).await.unwrap();
    /// # }
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "it is for people to look at")]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total?;
        // A total that was too small, or nothing at all, is done.
        Some(if self.bytes >= total { 1.0 } else { self.bytes as f64 / total as f64 })
    }

    /// How long it has taken so far.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::never();
    /// let copied = desist_tokio::io::copy(&b"12"[..], tokio::io::sink(), &token, |progress| {
    ///     assert!(progress.elapsed().as_secs() < 60);
    /// });
    /// copied.await.unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Bytes in a second, from the begin until now.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::never();
    /// let copied = desist_tokio::io::copy(&b"12"[..], tokio::io::sink(), &token, |progress| {
    ///     assert!(progress.rate().is_finite());
    /// });
    /// copied.await.unwrap();
    /// # }
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "it is for people to look at")]
    pub fn rate(&self) -> f64 {
        // What took no time at all took a nanosecond.
        self.bytes as f64 / self.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
    }
}
