//! Guards that cancel when they are dropped.

use super::token::CancellationToken;

/// Cancels its token when it is dropped. See [`CancellationToken::drop_guard`].
///
/// ```
/// use desist_tokio::compat::CancellationToken;
///
/// let token = CancellationToken::new();
/// let guard = token.clone().drop_guard();
/// assert_eq!(*guard.token(), token);
/// drop(guard);
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
pub struct DropGuard {
    /// `None`: it is disarmed.
    pub(super) token: Option<CancellationToken>,
}

/// Cancels its token when it is dropped. See [`CancellationToken::drop_guard_ref`].
///
/// ```
/// use desist_tokio::compat::CancellationToken;
///
/// let token = CancellationToken::new();
/// drop(token.drop_guard_ref());
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
pub struct DropGuardRef<'a> {
    /// `None`: it is disarmed.
    pub(super) token: Option<&'a CancellationToken>,
}

impl DropGuard {
    /// The token that it guards.
    ///
    /// ```
    /// let guard = desist_tokio::compat::CancellationToken::new().drop_guard();
    /// assert!(!guard.token().is_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        let Some(token) = &self.token else { unreachable!("it is consumed when it is disarmed") };
        token
    }

    /// Gives the token back and cancels nothing.
    ///
    /// ```
    /// let guard = desist_tokio::compat::CancellationToken::new().drop_guard();
    /// assert!(!guard.disarm().is_cancelled());
    /// ```
    pub fn disarm(mut self) -> CancellationToken {
        let Some(token) = self.token.take() else { unreachable!("it is consumed here") };
        token
    }
}

impl<'a> DropGuardRef<'a> {
    /// The token that it guards.
    ///
    /// ```
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// assert_eq!(token.drop_guard_ref().token(), &token);
    /// ```
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        let Some(token) = self.token else { unreachable!("it is consumed when it is disarmed") };
        token
    }

    /// Gives the token back and cancels nothing.
    ///
    /// ```
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// assert!(!token.drop_guard_ref().disarm().is_cancelled());
    /// ```
    pub fn disarm(mut self) -> &'a CancellationToken {
        let Some(token) = self.token.take() else { unreachable!("it is consumed here") };
        token
    }
}

impl Drop for DropGuard {
    #[track_caller]
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.source().cancel_with(desist::Reason::Dropped);
        }
    }
}

impl Drop for DropGuardRef<'_> {
    #[track_caller]
    fn drop(&mut self) {
        if let Some(token) = self.token {
            token.source().cancel_with(desist::Reason::Dropped);
        }
    }
}
