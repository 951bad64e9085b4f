use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{ResponseFuture, SessionService};
use crate::error::Error;
use crate::manager::UserHandle;

/// A client for one user; from [`SessionService::for_user`].
///
/// ```
/// # use http::{Request, Response};
/// # use moojo_session::{MemoryStore, SessionLayer, SessionManager, UserId};
/// # use tower::{ServiceBuilder, service_fn};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let http_client =
/// #     service_fn(|_: Request<String>| async { Ok::<_, std::io::Error>(Response::new("")) });
/// let sessions = SessionManager::new(MemoryStore::new());
/// let client = ServiceBuilder::new()
///     .layer(SessionLayer::new(sessions.clone()).allow_origin("https://api.moojo.id")?)
///     .service(http_client);
///
/// let for_alice = client.for_user(sessions.handle(&UserId::new("alice")?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ForUser<S> {
    service: SessionService<S>,
    handle: UserHandle,
}

impl<S> SessionService<S> {
    /// The same client for one user: every request is bound to the user of `handle`, and one that
    /// names another user is refused.
    pub fn for_user(self, handle: UserHandle) -> ForUser<S> {
        ForUser { service: self, handle }
    }
}

impl<S> ForUser<S> {
    /// Whose client it is.
    pub fn handle(&self) -> &UserHandle {
        &self.handle
    }
}

impl<S, B, R> Service<Request<B>> for ForUser<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.service.call_as(Some(&self.handle), request)
    }
}
