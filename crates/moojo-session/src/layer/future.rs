use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::Settings;
use super::slow::{Refused, Repeat};
use crate::error::Error;
use crate::session::SessionId;
use crate::user::UserId;

pin_project! {
    /// The answer to a call through a [`SessionService`](crate::SessionService).
    ///
    /// Dropping it cancels the call. What was found out meanwhile about the user stays known.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        // Not sent.
        Refused { error: Option<Error<S::Error>> },
        // Sent for no user.
        Passed { #[pin] call: S::Future },
        // Sent with a token that was in memory: the hot path.
        Sent { #[pin] call: S::Future, sent: Option<Sent<S, B>> },
        // Everything that has to wait for anything of ours.
        Slow { call: SlowCall<S::Response, S::Error> },
    }
}

const ENDED: &str = "a future is not polled after its end";

pub(super) type SlowCall<R, E> = Pin<Box<dyn Future<Output = Result<R, Error<E>>> + Send>>;

/// What has to be known of a call once its answer is there.
pub(super) struct Sent<S, B> {
    pub(super) settings: Arc<Settings>,
    pub(super) user: UserId,
    pub(super) id: SessionId,
    pub(super) repeat: Option<Box<Repeat<S, B>>>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn refused(error: Error<S::Error>) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }

    pub(super) fn passed(call: S::Future) -> Self {
        Self { state: State::Passed { call } }
    }

    pub(super) fn sent(call: S::Future, sent: Sent<S, B>) -> Self {
        Self { state: State::Sent { call, sent: Some(sent) } }
    }

    pub(super) fn slow(call: SlowCall<S::Response, S::Error>) -> Self {
        Self { state: State::Slow { call } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Output = Result<Response<R>, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        // The hot path first.
        if let StateProjection::Sent { call, sent } = state.as_mut().project() {
            let response = ready!(call.poll(cx)).map_err(Error::Inner)?;
            let refusal = sent.as_ref().expect(ENDED).settings.classify(&response);
            let Some(refusal) = refusal else { return Poll::Ready(Ok(response)) };
            let Sent { settings, user, id, repeat } = sent.take().expect(ENDED);
            let refused = Refused { settings, user, id, refusal, response, repeat };
            state.set(State::Slow { call: Box::pin(refused.run()) });
        }
        match state.project() {
            StateProjection::Refused { error } => Poll::Ready(Err(error.take().expect(ENDED))),
            StateProjection::Passed { call } => call.poll(cx).map_err(Error::Inner),
            StateProjection::Slow { call } => call.as_mut().poll(cx),
            StateProjection::Sent { .. } => unreachable!("it was left or is slow now"),
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
