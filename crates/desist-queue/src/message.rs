//! What is in a queue.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// What tells a message from all others, whichever time it is delivered.
///
/// ```
/// use desist_queue::MessageId;
///
/// let id = MessageId::from("order-17");
/// assert_eq!(id.as_str(), "order-17");
/// assert_eq!(id.to_string(), "order-17");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Arc<str>);

impl MessageId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for MessageId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for MessageId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl AsRef<str> for MessageId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message, as the work on it sees it. What becomes of it is decided by how the work ends,
/// so nothing here acknowledges it. A cheap handle.
///
/// ```
/// use desist_queue::Message;
///
/// let message = Message::new("orders:17", "orders.new", "two boats").with_header("Tenant", "9");
/// assert_eq!(message.id().as_str(), "orders:17");
/// assert_eq!(message.payload(), "two boats");
/// assert_eq!(message.header("tenant"), Some("9"));
/// assert_eq!(message.deliveries(), 1);
/// ```
#[derive(Clone)]
pub struct Message {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    place: MessageId,
    id: MessageId,
    subject: String,
    payload: Bytes,
    headers: Vec<(String, String)>,
    deliveries: u64,
}

impl Message {
    /// One that is at this place in its queue, which no other ever is. Brokers make them,
    /// and tests of handlers.
    #[must_use]
    pub fn new(
        place: impl Into<MessageId>,
        subject: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        let place = place.into();
        Self {
            inner: Arc::new(Inner {
                id: place.clone(),
                place,
                subject: subject.into(),
                payload: payload.into(),
                headers: Vec::new(),
                deliveries: 1,
            }),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// The identity that its publisher gave it, where that is another than its place.
    ///
    /// ```
    /// use desist_queue::Message;
    ///
    /// let message = Message::new("orders:17", "orders.new", "").with_id("order-4711");
    /// assert_eq!(message.id().as_str(), "order-4711");
    /// assert_eq!(message.place().as_str(), "orders:17");
    /// ```
    #[must_use]
    pub fn with_id(self, id: impl Into<MessageId>) -> Self {
        self.with(|inner| inner.id = id.into())
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|inner| inner.headers.push((name.into(), value.into())))
    }

    /// Delivered for the how-manieth time; the first is 1.
    #[must_use]
    pub fn with_deliveries(self, deliveries: u64) -> Self {
        self.with(|inner| inner.deliveries = deliveries)
    }

    /// The same at each delivery: what its publisher called it or, if that said nothing, its
    /// [place](Self::place). What an effect is written with so that it is written once.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.inner.id
    }

    /// Where it is in its queue.
    #[must_use]
    pub fn place(&self) -> &MessageId {
        &self.inner.place
    }

    /// What it was published as.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.inner.subject
    }

    /// What is in it.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.inner.payload
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first header of this name, in upper or lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How often it has been delivered, this time included.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.inner.deliveries
    }

    /// The payload, read as JSON.
    ///
    /// ```
    /// use desist_queue::{Aside, Message};
    ///
    /// # fn work() -> Result<(), Aside> {
    /// let message = Message::new("orders:17", "orders.new", r#"{"pieces": 2}"#);
    /// let order: std::collections::HashMap<String, u32> = message.json()?;
    /// assert_eq!(order["pieces"], 2);
    /// # Ok(()) }
    /// # work().unwrap();
    ///
    /// let error = Message::new("orders:18", "orders.new", "two").json::<u32>().unwrap_err();
    /// assert_eq!(error.to_string(), "the payload is no u32 in JSON");
    /// ```
    ///
    /// # Errors
    ///
    /// If it is none: as it will be none the next time, the message is [set aside](crate::Aside)
    /// when the work returns this.
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub fn json<T: serde_core::de::DeserializeOwned>(&self) -> Result<T, crate::Aside> {
        serde_json::from_slice(self.payload()).map_err(|error| {
            let wanted = std::any::type_name::<T>();
            crate::Aside::with_source(format!("the payload is no {wanted} in JSON"), error)
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.inner.id.as_str())
            .field("subject", &self.inner.subject)
            .field("bytes", &self.inner.payload.len())
            .field("deliveries", &self.inner.deliveries)
            .finish_non_exhaustive()
    }
}
