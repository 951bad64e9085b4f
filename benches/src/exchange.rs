//! One request and its answer, made in the same way for every subject.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, Uri};
use tower::Service;

/// The origin that all requests go to.
pub const ORIGIN: &str = "https://api.moojo.id";

static URI: LazyLock<Uri> =
    LazyLock::new(|| Uri::from_static("https://api.moojo.id/user/vault/list-credentials"));

/// The service under every subject: it takes the request and answers at once.
#[derive(Debug, Clone, Copy)]
pub struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        #[cfg(test)]
        tests::SENT.set(request.headers().get(http::header::AUTHORIZATION).cloned());
        drop(black_box(request));
        ready(Ok(Response::new(())))
    }
}

/// A request as all subjects get it. `user` goes into its extensions: what the subject knows the
/// user by.
#[inline]
pub fn request<U: Clone + Send + Sync + 'static>(user: U) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = URI.clone();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.extensions_mut().insert(user);
    request
}

/// Sends a request and takes the answer.
///
/// # Panics
/// If the service is not ready, or does not answer at the first poll.
#[inline]
pub fn exchange<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<()>, Error: Debug>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let answer = pin!(service.call(request));
    match answer.poll(&mut cx) {
        Poll::Ready(Ok(response)) => drop(black_box(response)),
        Poll::Ready(Err(error)) => panic!("the request failed: {error:?}"),
        Poll::Pending => panic!("the answer was not there at once"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// The token that the last request of this thread carried.
        pub(crate) static SENT: Cell<Option<HeaderValue>> = const { Cell::new(None) };
    }

    #[test]
    fn the_inner_service_answers_at_once() {
        exchange(&mut Inner, request("user"));
        assert_eq!(SENT.take(), None);
    }
}
