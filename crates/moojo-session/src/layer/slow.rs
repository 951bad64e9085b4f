//! The calls that have to wait for something of ours: for the store, for a login, or for what
//! becomes of a refused token.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tower_service::Service;

use super::binding::check_user;
use super::{OnReauth, Refusal, Settings};
use crate::error::Error;
use crate::manager::{Pass, Wait};
use crate::reauth::Purpose;
use crate::session::SessionId;
use crate::user::UserId;

/// A call whose user has no live session in memory.
pub(super) struct Call<S, B> {
    pub(super) settings: Arc<Settings>,
    /// Ready to be called.
    pub(super) service: S,
    pub(super) user: UserId,
    pub(super) request: Request<B>,
}

/// A request as it was before it went out with a token, and a service to send it again.
pub(super) struct Repeat<S, B> {
    /// Not ready.
    pub(super) service: S,
    pub(super) request: Request<B>,
}

/// A call whose token was refused.
pub(super) struct Refused<S, B, R> {
    pub(super) settings: Arc<Settings>,
    pub(super) user: UserId,
    /// The session whose token it was.
    pub(super) id: SessionId,
    pub(super) refusal: Refusal,
    pub(super) response: Response<R>,
    pub(super) repeat: Option<Box<Repeat<S, B>>>,
}

impl<S, B, R> Call<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: 'static,
{
    pub(super) async fn run(self) -> Result<Response<R>, Error<S::Error>> {
        let Self { settings, service, user, mut request } = self;
        let unready = service.clone();
        let patience = Patience::new(&settings, &request);
        // Who waits asks nobody to log in before it is registered (rule 11).
        let session = match patience.is_left(&settings) {
            true => settings.sessions.look_or_last_known(&user).await,
            false => settings.sessions.get(&user).await,
        };
        let (mut service, pass) = match session {
            Ok(session) => (service, Pass::of(&session)),
            Err(Error::ReauthRequired(_)) if patience.is_left(&settings) => {
                // Waiting for a person holds on to no capacity of the service.
                drop(service);
                patience.wait_ready(&settings, &user, unready.clone()).await?
            }
            Err(error) => return Err(error.widen()),
        };
        let repeat = settings.repeats.clone_request(&request);
        check_user(&pass.user, &user).map_err(Error::widen)?;
        settings.attach(&mut request, pass.authorization);
        let response = service.call(request).await.map_err(Error::Inner)?;
        let Some(refusal) = settings.classify(&response) else { return Ok(response) };
        let id = pass.id;
        let repeat = repeat.map(|request| Box::new(Repeat { service: unready, request }));
        let refused = Refused { settings, user, id, refusal, response, repeat };
        // Apart: a call that waits for a person is to take little memory.
        Box::pin(refused.run_with(Some(patience))).await
    }
}

impl<S, B, R> Refused<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    /// What becomes of a call that has not waited for anybody yet.
    pub(super) async fn run(self) -> Result<Response<R>, Error<S::Error>> {
        self.run_with(None).await
    }

    /// Removes what was refused, and repeats the request once if it can be and there is a newer
    /// session (rule 5), or one comes while there is patience left.
    async fn run_with(self, patience: Option<Patience>) -> Result<Response<R>, Error<S::Error>> {
        let Self { settings, user, id, refusal, response, repeat } = self;
        let trace_id = refusal.as_trace_id();
        let patience = patience
            .or_else(|| repeat.as_ref().map(|repeat| Patience::new(&settings, &repeat.request)));
        let waits =
            patience.as_ref().filter(|_| repeat.is_some()).is_some_and(|p| p.is_left(&settings));
        let newer = settings.sessions.replace(&user, id, trace_id, waits).await;
        let (Some(repeat), Some(patience)) = (repeat, patience) else {
            // A newer session is there, but this request cannot go out again.
            return newer.map(|_| response).map_err(Error::widen);
        };
        let Repeat { service, mut request } = *repeat;
        match newer {
            Ok(_) => {}
            Err(Error::ReauthRequired(_)) if waits => {}
            Err(error) => return Err(error.widen()),
        }
        drop(response);
        let ready = patience.wait_ready(&settings, &user, service).await;
        let (mut service, newer) = ready.map_err(|error| error.with_trace_id(trace_id))?;
        check_user(&newer.user, &user).map_err(Error::widen)?;
        settings.attach(&mut request, newer.authorization);
        let response = service.call(request).await.map_err(Error::Inner)?;
        let Some(refusal) = settings.classify(&response) else { return Ok(response) };
        let newest = settings.sessions.replace(&user, newer.id, refusal.as_trace_id(), false).await;
        newest.map(|_| response).map_err(Error::widen)
    }
}

/// How long a call may still wait for a login: one deadline for all of its waiting.
struct Patience {
    /// `None` if it does not wait.
    until: Option<Duration>,
    purpose: Option<Purpose>,
}

impl Patience {
    fn new<B>(settings: &Settings, request: &Request<B>) -> Self {
        let of_request = request.extensions().get::<OnReauth>().copied();
        let until = match of_request.unwrap_or(settings.on_reauth) {
            OnReauth::Fail => None,
            OnReauth::Wait(time) => Some(settings.monotonic().saturating_add(time)),
        };
        Self { until, purpose: request.extensions().get().cloned() }
    }

    fn left(&self, settings: &Settings) -> Duration {
        self.until.unwrap_or_default().saturating_sub(settings.monotonic())
    }

    fn is_left(&self, settings: &Settings) -> bool {
        self.left(settings) > Duration::ZERO
    }

    /// A session of the user, if need be after a login, and the service ready to be called. The
    /// session is judged after the service is ready, so at the moment of sending (rule 4).
    async fn wait_ready<S, B>(
        &self,
        settings: &Settings,
        user: &UserId,
        mut service: S,
    ) -> Result<(S, Pass), Error<S::Error>>
    where
        S: Service<Request<B>> + Clone,
    {
        loop {
            let epoch = settings.sessions.epoch();
            let session = if self.is_left(settings) {
                let wait = Wait::up_to(self.left(settings)).purpose(self.purpose.clone());
                settings.sessions.wait_with(user, &wait).await
            } else {
                settings.sessions.get(user).await
            };
            let session = session.map_err(Error::widen)?;
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(Error::Inner)?;
            if let Some(pass) = settings.sessions.pass_of(&session, epoch) {
                return Ok((service, pass));
            }
            // It ended, or changes were missed, while the service was busy.
            service = service.clone();
        }
    }
}

impl Settings {
    fn monotonic(&self) -> Duration {
        self.sessions.clock().monotonic()
    }

    pub(super) fn classify<R>(&self, response: &Response<R>) -> Option<Refusal> {
        (self.classifier)(response.status(), response.headers())
    }
}
