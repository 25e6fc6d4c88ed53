use desist::Token;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::status::status_of;
use crate::deadlines::{Form, GRPC_TIMEOUT};

/// Says in `grpc-timeout` how long a token has left, and lets no call begin after it was
/// cancelled: for clients that are made with an interceptor.
///
/// It does not end a call that has begun, nor give its end the status of the token;
/// [`TokenChannel`](crate::TokenChannel) does.
///
/// ```
/// use desist::Source;
/// use desist_http::TokenInterceptor;
/// use std::time::Duration;
/// use tonic::service::Interceptor;
///
/// let source = Source::with_timeout(Duration::from_secs(30));
/// let mut interceptor = TokenInterceptor::new(&source.token());
/// let request = interceptor.call(tonic::Request::new(())).unwrap();
/// assert!(request.metadata().get("grpc-timeout").is_some());
///
/// source.cancel();
/// let refused = interceptor.call(tonic::Request::new(())).unwrap_err();
/// assert_eq!(refused.code(), tonic::Code::Cancelled);
/// ```
#[derive(Debug, Clone)]
pub struct TokenInterceptor {
    token: Token,
}

impl TokenInterceptor {
    /// For the calls of which that is the token.
    ///
    /// ```
    /// let _interceptor = desist_http::TokenInterceptor::new(&desist::Token::never());
    /// ```
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self { token: token.clone() }
    }
}

impl Interceptor for TokenInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.token.check().map_err(|why| status_of(&why))?;
        if let Some(left) = self.token.remaining() {
            let mut headers = std::mem::take(request.metadata_mut()).into_headers();
            Form::Grpc.say(&mut headers, &GRPC_TIMEOUT, left);
            *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        }
        Ok(request)
    }
}
