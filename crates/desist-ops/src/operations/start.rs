//! Starting one.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Operations;
use crate::error::Kind as Why;
use crate::lock::lock;
use crate::protocol;
use crate::store::{Store, Within};
use crate::{Error, OperationId, text};

/// So many tags at most.
const TAGS: usize = 50;
/// Others are told that there is work at most so often.
const TELL: Duration = Duration::from_millis(20);

/// An operation that is about to be started: await it.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// use std::time::Duration;
///
/// let starts = operations.start("export", "orders").actor("ada").tag("tenant:7").key("orders");
/// let id = starts.delay(Duration::from_secs(60)).await?.id();
/// let operation = operations.get(id).await?.unwrap();
/// assert_eq!(operation.tags, ["tenant:7"]);
/// assert!(operation.run_at > operation.created_at);
/// # Ok(())
/// # }
/// ```
#[must_use = "it is started when it is awaited"]
#[derive(Debug)]
pub struct Start<'a, S> {
    operations: &'a Operations<S>,
    kind: &'a str,
    input: Result<String, serde_json::Error>,
    id: OperationId,
    tags: Vec<String>,
    actor: Option<String>,
    traceparent: Option<String>,
    parent: Option<OperationId>,
    key: Option<String>,
    delay: Duration,
    may_supersede: Option<Vec<OperationId>>,
}

impl<'a, S: Store> Start<'a, S> {
    pub(super) fn new(
        operations: &'a Operations<S>,
        kind: &'a str,
        input: Result<String, serde_json::Error>,
    ) -> Self {
        Self {
            operations,
            kind,
            input,
            id: OperationId::random(),
            tags: Vec::new(),
            actor: None,
            traceparent: None,
            parent: None,
            key: None,
            delay: Duration::ZERO,
            may_supersede: None,
        }
    }

    /// It can be found and cancelled by this.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Who starts it.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(text::kept(actor, text::NAME));
        self
    }

    /// The trace that it belongs to, as the header of that name has it. One that is no such thing
    /// is left out.
    pub fn traceparent(mut self, trace: impl Into<String>) -> Self {
        self.traceparent = Some(trace.into()).filter(|trace| is_traceparent(trace));
        self
    }

    /// Below that one: it is cancelled with that one's tree, also if that was before.
    pub fn parent(mut self, parent: OperationId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// What makes it the same as another one of its kind; what becomes of the two is said by
    /// [`Kind::duplicates`](crate::Kind::duplicates).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// It is not run before that.
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay = time.min(crate::policy::FOR_EVER);
        self
    }

    /// Of those with its key it may supersede no others.
    #[cfg(feature = "http")]
    pub(crate) fn superseding_only(mut self, others: Vec<OperationId>) -> Self {
        self.may_supersede = Some(others);
        self
    }

    pub(crate) fn checked(self) -> Result<(&'a Operations<S>, protocol::Start), Error> {
        let shared = self.operations.shared();
        let Some(kind) = shared.kinds.get(self.kind) else {
            let known: Vec<_> = shared.kinds.keys().map(|kind| format!("`{kind}`")).collect();
            let kind = text::kept(self.kind, text::NAME);
            let said = format!(
                "there is no kind of operations named `{kind}` here; there is {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            return Err(Error::new(Why::Unknown, said));
        };
        let input = self.input.map_err(|error| {
            Error::new(Why::Input, "the input cannot be written as JSON").because(error)
        })?;
        let (size, most) = (input.len(), shared.settings.max_input);
        if size > most {
            let said = format!(
                "the input has {size} bytes, and {most} at most are kept; give the place where it \
                 is instead, or raise `max_input`"
            );
            return Err(Error::new(Why::TooLarge, said));
        }
        kind.handler.check(&input).map_err(|error| {
            let said = format!("the input is not what operations of kind `{}` take", self.kind);
            Error::new(Why::Input, said).because(error)
        })?;
        if self.tags.len() > TAGS {
            let said = format!("{} tags are too many, {TAGS} at most are kept", self.tags.len());
            return Err(Error::new(Why::TooLarge, said));
        }
        self.tags.iter().try_for_each(|tag| text::indexed("a tag", tag))?;
        self.key.iter().try_for_each(|key| text::indexed("the key", key))?;
        let settings = &kind.settings;
        Ok((
            self.operations,
            protocol::Start {
                id: self.id,
                kind: self.kind.to_owned(),
                input,
                tags: self.tags,
                actor: self.actor,
                traceparent: self.traceparent,
                parent: self.parent,
                key: self.key,
                duplicates: settings.duplicates,
                may_supersede: self.may_supersede,
                attempts: settings.attempts(),
                after_death: settings.after_death,
                grace: settings.grace,
                delay: self.delay,
                tells: false,
            },
        ))
    }
}

impl<'a, S: Store> IntoFuture for Start<'a, S> {
    type Output = Result<Started, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let checked = self.checked();
        Box::pin(async move {
            let (operations, start) = checked?;
            let store = operations.store();
            let mut tries = 0;
            let started = loop {
                tries += 1;
                match store.transact(Within::Request, start.clone()).await {
                    // It has an id: done twice it is there once.
                    Err(error) if error.is_in_doubt() && tries < 3 => {}
                    started => break started?,
                }
            };
            operations.tells(&started).await;
            Ok(Started::of(&started))
        })
    }
}

impl<S: Store> Operations<S> {
    async fn tells(&self, started: &protocol::Started) {
        for (id, answer) in &started.superseded.answers {
            self.tells_of(*id, answer);
        }
        if started.existing || started.cancelled {
            return;
        }
        self.local().tell(crate::hints::Hints::work);
        match self.shared().told.tells() {
            Tells::Now => self.store().work_is_there().await,
            Tells::Later => {
                // The last of many is told of, too, and nobody waits for that.
                let operations = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(TELL).await;
                    operations.shared().told.told();
                    operations.store().work_is_there().await;
                });
            }
            Tells::Already => {}
        }
    }
}

/// When others were told last, and whether they are about to be told again.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<(Option<Instant>, bool)>);

enum Tells {
    Now,
    /// When others have had their time.
    Later,
    /// Somebody else will.
    Already,
}

impl Told {
    fn tells(&self) -> Tells {
        let mut told = lock(&self.0);
        let (last, is_due) = &mut *told;
        if *is_due {
            Tells::Already
        } else if last.is_none_or(|last| last.elapsed() >= TELL) {
            *last = Some(Instant::now());
            Tells::Now
        } else {
            *is_due = true;
            Tells::Later
        }
    }

    fn told(&self) {
        let mut told = lock(&self.0);
        *told = (Some(Instant::now()), false);
    }
}

/// What came of starting one.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let started = operations.start("export", "orders").await?;
/// assert!(!started.is_joined() && !started.is_cancelled());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it has the id of the operation"]
pub struct Started {
    id: OperationId,
    joined: bool,
    cancelled: bool,
}

impl Started {
    pub(crate) fn of(started: &protocol::Started) -> Self {
        Self { id: started.id, joined: started.existing, cancelled: started.cancelled }
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// Whether it is one that was started before, with the same key.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Whether it was cancelled as it was started, for the tree that it is in was.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

/// Whether it is written as W3C says.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    matches!(parts[..], [version, trace, parent, flags]
        if hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2))
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use crate::store::{Keeps, Within};
    use crate::{
        BoxError, CancelRequest, Context, Duplicates, Filter, Kind, Operations, Sqlite, State,
        protocol,
    };

    async fn operations(policy: Duplicates) -> Operations<Sqlite> {
        let kind = Kind::new("one", |_: Context<Sqlite>, _: ()| async { Ok::<_, BoxError>(()) });
        let store = Sqlite::open(":memory:").await.unwrap();
        Operations::builder(store).kind(kind.duplicates(policy)).open().await.unwrap()
    }

    /// One that is asked for as often as it is not answered.
    fn start(operations: &Operations<Sqlite>) -> protocol::Start {
        operations.start("one", &()).key("k").checked().unwrap().1
    }

    async fn asks(operations: &Operations<Sqlite>, start: &protocol::Start) -> protocol::Started {
        operations.store().transact(Within::Request, start.clone()).await.unwrap()
    }

    #[tokio::test]
    async fn one_that_is_asked_for_again_is_there_once_and_not_that_of_somebody_else() {
        for policy in [Duplicates::Allowed, Duplicates::Joined, Duplicates::Superseded] {
            let operations = operations(policy).await;
            let start = start(&operations);
            // The answer to the first is lost.
            for _ in 0..3 {
                let started = asks(&operations, &start).await;
                assert_eq!((started.id, started.existing), (start.id, false), "{policy:?}");
                assert!(!started.cancelled && started.superseded.answers.is_empty());
            }
            let one = operations.get(start.id).await.unwrap().unwrap();
            assert_eq!((one.state, one.cancel), (State::Waiting, None), "{policy:?}");
            assert_eq!(operations.count(&Filter::new()).await.unwrap(), 1);
            assert_eq!(operations.events(start.id, 0).await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn one_that_is_asked_for_again_supersedes_nothing_newer() {
        let operations = operations(Duplicates::Superseded).await;
        let first = start(&operations);
        asks(&operations, &first).await;
        let newest = operations.start("one", &()).key("k").await.unwrap().id();
        let again = asks(&operations, &first).await;

        assert!(again.id == first.id && again.cancelled && !again.existing);
        let newest = operations.get(newest).await.unwrap().unwrap();
        assert_eq!((newest.state, newest.cancel), (State::Waiting, None));
    }

    #[tokio::test]
    async fn one_that_is_asked_for_again_is_itself_though_it_was_cancelled_meanwhile() {
        let operations = operations(Duplicates::Joined).await;
        let first = start(&operations);
        asks(&operations, &first).await;
        operations.cancel(first.id, CancelRequest::new()).await.unwrap();
        let newest = operations.start("one", &()).key("k").await.unwrap().id();
        let again = asks(&operations, &first).await;

        assert!(again.id == first.id && again.id != newest && again.cancelled && !again.existing);
    }
}
