//! What a behaviour has in hand.

use std::any::TypeId;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use desist::{Source, Token};

use crate::envelope::Envelope;
use crate::{Error, Invalid, Proceed, Request};

/// A request on its way to its handler, as a behaviour sees it: its name, its token, and,
/// if the behaviour knows the type, the request.
///
/// The token can be narrowed, and what comes after has the narrower one and no way to the
/// one before. To let something go on although it is cancelled is said out loud:
/// [`shield`](Self::shield).
///
/// ```
/// use desist::{Reason, Token};
/// use desist_mediator::{Call, Mediator, Request};
/// use std::time::Duration;
///
/// struct Search;
/// impl Request for Search {
///     type Response = usize;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .behaviour(|mut call: Call| async move {
///         call.narrow().cancel_after(Duration::from_millis(5));
///         call.proceed().await
///     })
///     .handler(|stop: Token, Search| async move { Err(stop.cancelled().await) })
///     .build()
///     .unwrap();
/// let error = mediator.send(&Token::never(), Search).await.unwrap_err();
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
/// # }
/// ```
#[must_use = "a call that is dropped is a request without an answer"]
pub struct Call {
    pub(crate) envelope: Pin<Box<dyn Envelope>>,
    pub(crate) token: Token,
    pub(crate) name: &'static str,
    /// How many of the behaviours of its kind have been gone through.
    pub(crate) done: usize,
    /// Whether the layer that has it has let it through.
    #[cfg(feature = "tower")]
    pub(crate) layer: Option<crate::layer::Through>,
}

impl Call {
    /// What the request is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type of the request.
    #[must_use]
    pub fn kind(&self) -> TypeId {
        self.envelope.key()
    }

    /// The token that all that comes after will have.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The request, if it is of this type.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Call, Error, Mediator, Request};
    ///
    /// struct Open(&'static str);
    /// impl Request for Open {
    ///     type Response = ();
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mediator = Mediator::builder()
    ///     .behaviour_for::<Open>(|call: Call| async move {
    ///         match call.request::<Open>() {
    ///             Some(Open("secret")) => Err(Error::new("not for you")),
    ///             _ => call.proceed().await,
    ///         }
    ///     })
    ///     .handler(|_stop: Token, Open(_)| async { Ok::<_, Error>(()) })
    ///     .build()
    ///     .unwrap();
    /// assert!(mediator.send(&Token::never(), Open("door")).await.is_ok());
    /// assert!(mediator.send(&Token::never(), Open("secret")).await.is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn request<R: Request>(&self) -> Option<&R> {
        self.envelope.request()?.downcast_ref()
    }

    /// The request, to be changed, if it is of this type.
    #[must_use]
    pub fn request_mut<R: Request>(&mut self) -> Option<&mut R> {
        self.envelope.as_mut().request_mut()?.downcast_mut()
    }

    /// What the request says of itself.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.envelope.validate()
    }

    /// From here on all have a child of the token, which this source can cancel.
    #[track_caller]
    pub fn narrow(&mut self) -> Source {
        let source = self.token.child();
        self.token = source.token();
        source
    }

    /// From here on all stop for this token as well.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_mediator::{Call, Error, Mediator, Request};
    ///
    /// struct Book;
    /// impl Request for Book {
    ///     type Response = ();
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let closed = Token::cancelled_with(Reason::Overload);
    /// let mediator = Mediator::builder()
    ///     .behaviour(move |mut call: Call| {
    ///         call.narrow_to(&closed);
    ///         call.proceed()
    ///     })
    ///     .handler(|_stop: Token, Book| async { Ok::<_, Error>(()) })
    ///     .build()
    ///     .unwrap();
    /// let error = mediator.send(&Token::never(), Book).await.unwrap_err();
    /// assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    /// # }
    /// ```
    pub fn narrow_to(&mut self, token: &Token) {
        self.token = Token::any([&self.token, token]);
    }

    /// From here on nobody is asked to stop when the token is cancelled, for this long: for
    /// what must not be left half done. After it they are, with `Reason::Deadline`. It must
    /// be asked for before a [`Timeout`](crate::Timeout): one around it still drops what takes
    /// longer than the grace after it was asked to stop.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_mediator::{Call, Mediator, Request};
    /// use std::time::Duration;
    ///
    /// struct Refund;
    /// impl Request for Refund {
    ///     type Response = &'static str;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mediator = Mediator::builder()
    ///     .behaviour(|mut call: Call| {
    ///         call.shield(Duration::from_secs(5));
    ///         call.proceed()
    ///     })
    ///     .handler(|stop: Token, Refund| async move { stop.check().map(|()| "paid back") })
    ///     .build()
    ///     .unwrap();
    /// // The client goes away when it has begun.
    /// let client = desist::Source::new();
    /// let refund = mediator.send(&client.token(), Refund);
    /// assert_eq!(refund.await.unwrap(), "paid back");
    /// # }
    /// ```
    #[track_caller]
    pub fn shield(&mut self, bound: Duration) {
        self.token = self.token.shielded_for(bound).token();
    }

    pub(crate) fn place(&self) -> usize {
        place_of(&self.envelope)
    }

    /// Goes on to the next behaviour, and after the last one to the handler. Whoever is next
    /// does not begin if the token is cancelled by then.
    pub fn proceed(self) -> Proceed {
        Proceed::new(self)
    }

    /// Gives this answer in place of the handler, which is not asked.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Call, Error, Mediator, Request};
    ///
    /// struct Price(&'static str);
    /// impl Request for Price {
    ///     type Response = u32;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let mediator = Mediator::builder()
    ///     .behaviour_for::<Price>(|call: Call| async move {
    ///         match call.request::<Price>() {
    ///             Some(Price("bread")) => call.answer::<Price>(3),
    ///             _ => call.proceed().await,
    ///         }
    ///     })
    ///     .handler(|_stop: Token, Price(_)| async { Ok::<_, Error>(100) })
    ///     .build()
    ///     .unwrap();
    /// assert_eq!(mediator.send(&Token::never(), Price("bread")).await.unwrap(), 3);
    /// assert_eq!(mediator.send(&Token::never(), Price("a boat")).await.unwrap(), 100);
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the request is of another type.
    pub fn answer<R: Request>(mut self, response: R::Response) -> Result<Answer, Error> {
        if self.kind() == TypeId::of::<R>() && self.envelope.as_mut().answer(&mut Some(response)) {
            return Ok(Answer { envelope: self.envelope });
        }
        Err(Error::exchanged(self.name))
    }
}

/// Where it lies in memory.
pub(crate) fn place_of(envelope: &Pin<Box<dyn Envelope>>) -> usize {
    (&raw const **envelope).cast::<()>().addr()
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("name", &self.name)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`Call`], on its way back. A behaviour that knows the type can look at
/// the response, and change it.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Call, Error, Mediator, Request};
///
/// struct Roll;
/// impl Request for Roll {
///     type Response = u32;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .behaviour(|call: Call| async move {
///         let mut answer = call.proceed().await?;
///         if let Some(rolled) = answer.response_mut::<Roll>() {
///             *rolled = 6;
///         }
///         assert_eq!(answer.response::<Roll>(), Some(&6));
///         Ok(answer)
///     })
///     .handler(|_stop: Token, Roll| async { Ok::<_, Error>(1) })
///     .build()
///     .unwrap();
/// assert_eq!(mediator.send(&Token::never(), Roll).await.unwrap(), 6);
/// # }
/// ```
#[must_use = "it is what a behaviour returns"]
pub struct Answer {
    pub(crate) envelope: Pin<Box<dyn Envelope>>,
}

impl Answer {
    /// The response, if it is one to a request of this type.
    #[must_use]
    pub fn response<R: Request>(&self) -> Option<&R::Response> {
        self.is_to::<R>().then(|| self.envelope.response())??.downcast_ref()
    }

    /// The response, to be changed, if it is one to a request of this type.
    #[must_use]
    pub fn response_mut<R: Request>(&mut self) -> Option<&mut R::Response> {
        self.is_to::<R>().then(|| self.envelope.as_mut().response_mut())??.downcast_mut()
    }

    fn is_to<R: Request>(&self) -> bool {
        self.envelope.key() == TypeId::of::<R>()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}
