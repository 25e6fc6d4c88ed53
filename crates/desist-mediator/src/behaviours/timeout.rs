//! Nobody takes for ever.

use std::any::TypeId;
use std::pin::pin;
use std::time::Duration;

use crate::table::ByType;
use crate::{Answer, Behaviour, Call, Error, Request};

/// Bounds the time that a request may take. When it is over the token is cancelled, with
/// `Reason::Deadline`; code within sees it coming in `token.deadline()`. What has then not
/// stopped when it has been asked for the [`grace`](Self::grace) is dropped where it stands.
///
/// It is the answer that is bounded: when it is there in time the deadline is taken back, so
/// that a stream in it, or what the handler has begun, goes on under the token of whoever asked.
///
/// What has a [shield](Call::shield) further in is dropped as well; to let it go on, the
/// shield comes before.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_mediator::{Error, Mediator, Request, Timeout};
/// use std::time::Duration;
///
/// struct Search;
/// impl Request for Search {
///     type Response = &'static str;
/// }
/// struct Export;
/// impl Request for Export {
///     type Response = Duration;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .behaviour(Timeout::new(Duration::from_millis(2)).but::<Export>(Duration::from_secs(60)))
///     .handler(|stop: Token, Search| async move { Err(stop.cancelled().await) })
///     .handler(|stop: Token, Export| async move { stop.remaining().ok_or("no bound") })
///     .build()
///     .unwrap();
/// let error = mediator.send(&Token::never(), Search).await.unwrap_err();
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
/// assert!(mediator.send(&Token::never(), Export).await.unwrap() > Duration::from_secs(50));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Timeout {
    limit: Duration,
    but: ByType<Duration>,
    grace: Duration,
}

impl Timeout {
    /// This long for each request.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, but: ByType::default(), grace: Duration::from_secs(5) }
    }

    /// But this long for those of this kind.
    #[must_use]
    pub fn but<R: Request>(mut self, limit: Duration) -> Self {
        self.but.insert(TypeId::of::<R>(), limit);
        self
    }

    /// How long what was asked to stop, by this or by anybody, may take for it; 5 s, if
    /// nothing is said. After that it is dropped. `Duration::MAX`: it never is.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Error, Mediator, Request, Timeout};
    /// use std::future::pending;
    /// use std::time::Duration;
    ///
    /// struct Deaf;
    /// impl Request for Deaf {
    ///     type Response = ();
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let ms = Duration::from_millis;
    /// let mediator = Mediator::builder()
    ///     .behaviour(Timeout::new(ms(2)).grace(ms(2)))
    ///     .handler(|_stop: Token, Deaf| pending::<Result<(), Error>>())
    ///     .build()
    ///     .unwrap();
    /// assert!(mediator.send(&Token::never(), Deaf).await.unwrap_err().cancelled().is_some());
    /// # }
    /// ```
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Behaviour for Timeout {
    async fn handle(&self, mut call: Call) -> Result<Answer, Error> {
        let limit = self.but.get(&call.kind()).copied().unwrap_or(self.limit);
        let source = call.narrow();
        source.cancel_after(limit);
        let token = call.token().clone();
        let mut rest = pin!(call.proceed());
        let asked = match token.run(rest.as_mut()).await {
            Ok(answer) => {
                source.disarm();
                return answer;
            }
            Err(asked) => asked,
        };
        if self.grace == Duration::MAX {
            return rest.await;
        }
        let bound = token.shielded_for(self.grace);
        match bound.token().run(rest).await {
            Ok(answer) => answer,
            Err(_) => Err(asked.into()),
        }
    }
}
