use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::binding::Binding;
use super::future::{ResponseFuture, Sent};
use super::slow::{Call, Repeat};
use super::{Settings, WithoutUser};
use crate::error::Error;
use crate::manager::{Pass, UserHandle};

/// A client whose requests carry their user's token; made by a
/// [`SessionLayer`](crate::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> SessionService<S> {
    pub(super) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }

    /// The service under the layer.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Calls for the user of `client`, if there is one, or of the request.
    pub(super) fn call_as<B, R>(
        &mut self,
        client: Option<&UserHandle>,
        mut request: Request<B>,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        B: Send + 'static,
        R: Send + 'static,
    {
        let settings = &self.settings;
        let binding = match Binding::of(&request, client) {
            Ok(Some(binding)) => binding,
            Ok(None) if settings.without_user == WithoutUser::Pass => {
                return ResponseFuture::passed(self.inner.call(request));
            }
            Ok(None) => return self.refuse(Error::UserRequired),
            Err(error) => return self.refuse(error),
        };
        if let Err(error) = settings.check(&request) {
            return self.refuse(error);
        }
        match settings.pass(binding) {
            Some(Pass { authorization, user, id }) => {
                let repeat = settings
                    .repeats
                    .clone_request(&request)
                    .map(|request| Box::new(Repeat { service: self.inner.clone(), request }));
                settings.attach(&mut request, authorization);
                let sent = Sent { settings: Arc::clone(settings), user, id, repeat };
                ResponseFuture::sent(self.inner.call(request), sent)
            }
            None => {
                let user = binding.user().clone();
                let settings = Arc::clone(settings);
                let call = Call { settings, service: self.take_ready(), user, request };
                ResponseFuture::slow(Box::pin(call.run()))
            }
        }
    }

    /// Takes the service that is ready, and leaves a clone that is not
    /// (<https://docs.rs/tower/latest/tower/trait.Service.html#be-careful-when-cloning-inner-services>).
    fn take_ready(&mut self) -> S
    where
        S: Clone,
    {
        let unready = self.inner.clone();
        mem::replace(&mut self.inner, unready)
    }

    /// Fails without a call, and gives back what `poll_ready` reserved for it.
    fn refuse<B>(&mut self, error: Error) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>> + Clone,
    {
        drop(self.take_ready());
        ResponseFuture::refused(error.widen())
    }
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
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
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.call_as(None, request)
    }
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
