use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderName, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::origin::Origin;

/// Takes token and API key off requests to origins that are not allowed; from
/// [`SessionLayer::origin_guard`](crate::SessionLayer::origin_guard).
///
/// It is for a stack in which the [`SessionLayer`](crate::SessionLayer) is above a middleware that
/// follows redirects and sends the headers it was given to wherever it is sent
/// ([RFC 9110 §15.4](https://www.rfc-editor.org/rfc/rfc9110#section-15.4)): tower-http's, for one,
/// takes `Authorization` off a request to another origin, and leaves `x-api-key`.
#[derive(Debug, Clone)]
pub struct OriginGuardLayer(Arc<Guarded>);

#[derive(Debug)]
struct Guarded {
    origins: Vec<Origin>,
    api_key_header: HeaderName,
}

impl OriginGuardLayer {
    pub(super) fn new(origins: Vec<Origin>, api_key_header: HeaderName) -> Self {
        Self(Arc::new(Guarded { origins, api_key_header }))
    }
}

impl<S> Layer<S> for OriginGuardLayer {
    type Service = OriginGuard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginGuard { inner, guarded: Arc::clone(&self.0) }
    }
}

/// The service of an [`OriginGuardLayer`].
#[derive(Debug, Clone)]
pub struct OriginGuard<S> {
    inner: S,
    guarded: Arc<Guarded>,
}

impl<S, B> Service<Request<B>> for OriginGuard<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Guarded { origins, api_key_header } = &*self.guarded;
        if !origins.iter().any(|origin| origin.is_of(request.uri())) {
            request.headers_mut().remove(AUTHORIZATION);
            request.headers_mut().remove(api_key_header);
        }
        self.inner.call(request)
    }
}
