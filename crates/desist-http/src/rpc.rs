//! What gRPC is told: its status is in headers, at the end or in the place of an answer,
//! and the HTTP status says nothing.

use desist::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether it is a call of gRPC. What browsers have, `application/grpc-web`, is another
/// thing: its status is in the body.
pub(crate) fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    // On any other it cannot say how it ends, and has to break off.
    if version != Version::HTTP_2 {
        return false;
    }
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

/// How a call ended, in a head or in what comes after a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was done.
    Well,
    /// It was refused, as a request that is answered 404 is.
    Refused,
    /// The server failed: of the statuses those that OpenTelemetry has as errors of
    /// servers.
    Failed,
}

/// `None`: nothing is said of it here.
pub(crate) fn ended(headers: &HeaderMap) -> Option<Ended> {
    Some(match headers.get(GRPC_STATUS)?.as_bytes() {
        b"0" => Ended::Well,
        // Unknown, deadline exceeded, unimplemented, internal, unavailable, data loss.
        b"2" | b"4" | b"12" | b"13" | b"14" | b"15" => Ended::Failed,
        _ => Ended::Refused,
    })
}

/// What gRPC calls a stop: its code, and words that say the same.
pub(crate) fn code_of(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Deadline => ("4", "the deadline is over"),
        Reason::Shutdown | Reason::Overload | Reason::LeaseLost => ("14", reason.as_str()),
        _ => ("1", reason.as_str()),
    }
}

/// What gRPC says at the end of what was stopped.
pub(crate) fn status_of(reason: Reason) -> HeaderMap {
    let (code, message) = code_of(reason);
    status(code, Some(HeaderValue::from_static(message)))
}

/// Internal, as others have it where a client says something that is no time.
pub(crate) fn malformed(message: &str) -> HeaderMap {
    status("13", HeaderValue::try_from(encoded(message)).ok())
}

/// As gRPC has its messages: what is printable, but for the percent sign itself.
fn encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn status(code: &'static str, message: Option<HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    if let Some(message) = message {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers
}

/// The answer to a call that is over before it begins, which is nothing but a head.
pub(crate) fn answer<B>(status: HeaderMap, empty: B) -> Response<B> {
    let mut response = Response::new(empty);
    *response.headers_mut() = status;
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_grpc_are_told_from_others() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpcs", false),
            ("application/json", false),
        ] {
            let kind = HeaderValue::from_static(kind);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.clone())]);
            assert_eq!(is_grpc(Version::HTTP_2, &headers), is, "{kind:?}");
            assert!(!is_grpc(Version::HTTP_11, &headers), "{kind:?}");
        }
        assert!(!is_grpc(Version::HTTP_2, &HeaderMap::new()));
    }

    #[test]
    fn messages_are_encoded() {
        let message = &malformed("50%41 \u{e4}\n~")[GRPC_MESSAGE];
        assert_eq!(message, "50%2541 %C3%A4%0A~");
    }
}
