//! What a service is to the host: something to start, to run, and to clean up after.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use desist_tokio::{BoxError, Stop, TaskOutput};

/// A service with a start of its own, before which nobody who comes after it begins, and
/// with a cleanup.
///
/// Most services are a closure, see [`HostBuilder::service`](crate::HostBuilder::service);
/// this is for those that have to have something ready, or to give something back. It is
/// added with [`HostBuilder::add`](crate::HostBuilder::add).
///
/// The three are called one after the other, [`stop`](Self::stop) also when
/// [`run`](Self::run) failed, panicked, or was aborted; a start that does not succeed has
/// to clean up after itself, and is followed by neither. A service that is
/// [restarted](crate::OnFailure::Restart) is started anew, as the same value.
///
/// ```
/// use desist_host::{BoxError, Host, Service, Stop};
/// use std::net::{TcpListener, TcpStream};
///
/// struct Greeter {
///     listener: Option<TcpListener>,
/// }
///
/// impl Service for Greeter {
///     async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
///         // A port that is taken is an error here, before anybody counts on it.
///         self.listener = Some(TcpListener::bind("127.0.0.1:0")?);
///         Ok(())
///     }
///
///     async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
///         stop.token().await;
///         Ok(())
///     }
///
///     async fn stop(&mut self) -> Result<(), BoxError> {
///         self.listener = None;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let host = Host::builder().add("greeter", Greeter { listener: None });
/// let host = host.service("a moment", |_stop| async {}).build().unwrap();
/// assert!(host.run().await.is_clean());
/// # }
/// ```
pub trait Service: Send + 'static {
    /// Makes it ready. `stop` is asked when the host is to stop, or when this takes longer
    /// than its [`start_timeout`](crate::HostBuilder::start_timeout).
    ///
    /// # Errors
    ///
    /// It cannot be started: a failure, see [`OnFailure`](crate::OnFailure).
    fn start(&mut self, stop: &Stop) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _nothing_to_start = stop;
        async { Ok(()) }
    }

    /// Its work, until it is asked to stop.
    ///
    /// # Errors
    ///
    /// A failure, but for the [`Cancelled`](desist::Cancelled) of `stop`, passed on.
    fn run(&mut self, stop: Stop) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Gives back what it took, within its [`grace`](crate::HostBuilder::grace).
    ///
    /// # Errors
    ///
    /// A failure; the others are stopped all the same.
    fn stop(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }
}

pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// A [`Service`] of any type.
pub(crate) trait AnyService: Send {
    fn start<'a>(&'a mut self, stop: &'a Stop) -> Work<'a>;
    fn run(&mut self, stop: Stop) -> Work<'_>;
    fn stop(&mut self) -> Work<'_>;
}

impl<S: Service> AnyService for S {
    fn start<'a>(&'a mut self, stop: &'a Stop) -> Work<'a> {
        Box::pin(Service::start(self, stop))
    }

    fn run(&mut self, stop: Stop) -> Work<'_> {
        Box::pin(Service::run(self, stop))
    }

    fn stop(&mut self) -> Work<'_> {
        Box::pin(Service::stop(self))
    }
}

/// A closure that can be called once.
pub(crate) struct Once<F, M> {
    begin: Option<F>,
    output: PhantomData<fn() -> M>,
}

impl<F, M> Once<F, M> {
    pub(crate) fn new(begin: F) -> Self {
        Self { begin: Some(begin), output: PhantomData }
    }
}

impl<F, W, R, M> Service for Once<F, (R, M)>
where
    F: FnOnce(Stop) -> W + Send + 'static,
    W: Future<Output = R> + Send + 'static,
    R: TaskOutput<(), M> + 'static,
    M: 'static,
{
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        match self.begin.take() {
            Some(begin) => begin(stop).await.into_result(),
            // It is not restartable, which was seen when the host was built.
            None => Err("it has run already".into()),
        }
    }
}

/// A closure of which every run has a copy.
pub(crate) struct Many<F, M> {
    begin: F,
    output: PhantomData<fn() -> M>,
}

impl<F, M> Many<F, M> {
    pub(crate) fn new(begin: F) -> Self {
        Self { begin, output: PhantomData }
    }
}

impl<F, W, R, M> Service for Many<F, (R, M)>
where
    F: FnOnce(Stop) -> W + Clone + Send + 'static,
    W: Future<Output = R> + Send + 'static,
    R: TaskOutput<(), M> + 'static,
    M: 'static,
{
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        let begin = self.begin.clone();
        begin(stop).await.into_result()
    }
}
