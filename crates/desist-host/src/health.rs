//! `/livez` and `/readyz`, as Kubernetes and others ask.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use crate::handle::HostHandle;
use crate::phase::Phase;

/// A tower service that says how far a host is, for any router:
///
/// * `/livez`: 200, as long as anybody answers. A host that stops is alive.
/// * `/readyz`: 200 while the host is [ready](Phase::is_ready), else 503, with the phase and
///   whom it waits for: before all services have started, and from the request to stop on,
///   so that nobody is sent to who will soon be gone.
///
/// Other paths are not found. It answers GET and HEAD, and looks at the last segment of the path
/// only, so it may be nested anywhere.
///
/// ```
/// use desist_host::Host;
/// use http::{Request, StatusCode};
/// use tower_service::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let builder = Host::builder();
/// let mut health = builder.health();
/// let ask = |path| Request::get(path).body(()).unwrap();
/// let answer = health.call(ask("/readyz")).await.unwrap();
/// assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(answer.body().as_str(), "starting\n");
/// assert_eq!(health.call(ask("/livez")).await.unwrap().status(), StatusCode::OK);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    host: HostHandle,
}

impl Health {
    pub(crate) fn new(host: HostHandle) -> Self {
        Self { host }
    }

    /// As `/readyz` has it.
    ///
    /// ```
    /// assert!(!desist_host::Host::builder().health().is_ready());
    /// ```
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.host.phase().is_ready()
    }

    fn answer(&self, method: &Method, path: &str) -> Response<HealthBody> {
        let (status, said) = match path.rsplit('/').next() {
            Some("livez" | "readyz") if !matches!(*method, Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD\n".to_owned())
            }
            Some("livez") => (StatusCode::OK, "alive\n".to_owned()),
            Some("readyz") => self.readiness(),
            _ => (StatusCode::NOT_FOUND, "here are /livez and /readyz\n".to_owned()),
        };
        let body = if *method == Method::HEAD { String::new() } else { said };
        let mut answer = Response::new(HealthBody { text: body });
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }

    fn readiness(&self) -> (StatusCode, String) {
        let phase = self.host.phase();
        if phase.is_ready() {
            return (StatusCode::OK, "ready\n".to_owned());
        }
        let mut said = phase.to_string();
        let waits_for = self.host.waits_for();
        if matches!(phase, Phase::Starting | Phase::Stopping) && !waits_for.is_empty() {
            let names: Vec<_> = waits_for.iter().map(|name| &**name).collect();
            said += ": waits for ";
            said += &names.join(", ");
        }
        said.push('\n');
        (StatusCode::SERVICE_UNAVAILABLE, said)
    }
}

impl<B> Service<Request<B>> for Health {
    type Response = Response<HealthBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<HealthBody>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(request.method(), request.uri().path())))
    }
}

/// The body of its answers: a line, whole from the beginning.
///
/// ```
/// use tower_service::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut health = desist_host::Host::builder().health();
/// let answer = health.call(http::Request::get("/livez").body(()).unwrap()).await.unwrap();
/// assert_eq!(answer.into_body().as_str(), "alive\n");
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct HealthBody {
    text: String,
}

impl HealthBody {
    /// What is left of it.
    ///
    /// ```
    /// assert_eq!(desist_host::HealthBody::default().as_str(), "");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Body for HealthBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let text = std::mem::take(&mut self.text);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.len() as u64)
    }
}
