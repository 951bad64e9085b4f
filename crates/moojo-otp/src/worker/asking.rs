//! One person who is asked.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{
    Arrival, Arrived, Chain, Challenge, Claim, Clock, DeclineReason, Error, UserId,
};

use super::people::{Ask, PersonReply};
use super::{LoginWorker, SHORTEST};
use crate::login::LoginError;
use crate::phone::PhoneNumber;

/// How long it takes until a person is asked again whose reply could lead to nothing: whoever sees
/// to the replies may not wait for a person at all.
const BREATH: Duration = SHORTEST;

pub(super) struct Asking {
    worker: Arc<LoginWorker>,
    claim: Claim,
    user: UserId,
    clock: Arc<dyn Clock>,
}

/// What becomes of the request.
enum End {
    /// A session has come, somebody else has the request, or nobody needs it any more.
    Over,
    /// It is handed out again after this time.
    Later(Duration),
    Declined(DeclineReason, Duration),
}

impl Asking {
    pub(super) fn new(worker: Arc<LoginWorker>, claim: Claim) -> Self {
        let user = claim.request().user().clone();
        let clock = worker.flow.sessions().clock();
        Self { worker, claim, user, clock }
    }

    pub(super) async fn run(mut self) {
        // The queue's own lease may be shorter than the time until the first renewal.
        if self.claim.renew(self.worker.lease).is_err() {
            return;
        }
        let (Ok(end) | Err(end)) = self.ask().await;
        // If the claim is over, it is no longer this worker's business.
        let _ = match end {
            End::Over => Ok(()),
            End::Later(time) => self.claim.release(time),
            End::Declined(reason, time) => self.claim.decline(reason, time),
        };
    }

    async fn ask(&mut self) -> Result<End, End> {
        let worker = Arc::clone(&self.worker);
        let user = self.user.clone();
        let phone = self.phone().await?;
        let pending = self.kept(worker.flow.pending(&user)).await?;
        let challenge = match pending.map_err(|error| self.later(&error))? {
            Some(challenge) => challenge,
            // No call waits for an answer any more.
            None if self.was_asked().await? && self.claim.close_unless_awaited() => {
                return Ok(End::Over);
            }
            None => self.send(&phone).await?,
        };
        let request = self.claim.request().clone();
        let mut ask = Ask { request, challenge, attempts_left: None };
        loop {
            let did_something = match self.reply(&ask).await? {
                PersonReply::Code(code) => match self.kept(worker.flow.verify(&user, &code)).await?
                {
                    Ok(_) => return Ok(End::Over),
                    Err(error) => self.not_logged_in(error, &mut ask).await?,
                },
                PersonReply::Resend => self.resend(&phone, &mut ask).await?,
                PersonReply::NotNow(time) => return Ok(End::Declined(DeclineReason::NotNow, time)),
                PersonReply::NoAnswer => return Ok(End::Later(self.worker.ask_again_after)),
            };
            if !did_something {
                self.clock.sleep(BREATH).await;
            }
            if let Ok(request) = self.claim.refreshed() {
                ask.request = request;
            }
        }
    }

    /// Whether the person has had a code for this request before, without an answer.
    async fn was_asked(&mut self) -> Result<bool, End> {
        if self.claim.request().handed_out() == 1 {
            return Ok(false);
        }
        let worker = Arc::clone(&self.worker);
        let (user, since) = (self.user.clone(), self.claim.request().since());
        let asked = self.kept(worker.flow.has_tried_since(&user, since)).await?;
        asked.map_err(|error| self.later(&error))
    }

    /// Runs what comes to an end by itself, and keeps the claim meanwhile.
    async fn kept<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        loop {
            let half = self.clock.sleep(self.worker.lease / 2);
            tokio::select! {
                // First: nobody is asked who has logged in meanwhile.
                biased;
                () = self.claim.over() => return Err(End::Over),
                outcome = &mut work => return Ok(outcome),
                () = half => self.claim.renew(self.worker.lease).map_err(|_| End::Over)?,
            }
        }
    }

    /// The claim is not kept for that: where numbers are found may hang.
    async fn phone(&mut self) -> Result<PhoneNumber, End> {
        let phone = tokio::select! {
            phone = caught(self.worker.people.phone(&self.user)) => phone,
            () = self.claim.over() => return Err(End::Over),
        };
        match phone.map_err(|_| self.panicked())? {
            Ok(Some(phone)) => Ok(phone),
            Ok(None) => Err(End::Declined(DeclineReason::Unreachable, self.worker.ask_again_after)),
            Err(error) => {
                let error = Chain(&*error);
                tracing::warn!(user = %self.user, %error, "no number to send a code to");
                Err(End::Later(self.worker.pause))
            }
        }
    }

    /// One code, once: whatever comes of it, this is not repeated without the person.
    async fn send(&mut self, phone: &PhoneNumber) -> Result<Challenge, End> {
        let worker = Arc::clone(&self.worker);
        let user = self.user.clone();
        match self.kept(worker.flow.send_code(&user, phone)).await? {
            Ok(challenge) => Ok(challenge),
            // It may arrive.
            Err(LoginError::SendUnknown { challenge, .. }) => Ok(*challenge),
            // Another worker was faster.
            Err(error @ LoginError::ResendTooSoon { .. }) => {
                let pending = self.worker.flow.pending(&self.user).await;
                pending.ok().flatten().ok_or_else(|| self.later(&error))
            }
            Err(LoginError::NotAnswering { retry_at }) => {
                Err(End::Declined(DeclineReason::NoAnswer, self.time_until(retry_at)))
            }
            Err(
                LoginError::TooManySends { retry_at } | LoginError::TooManyTenantSends { retry_at },
            ) => Err(End::Declined(DeclineReason::Unreachable, self.time_until(retry_at))),
            Err(LoginError::NumberNotAllowed { .. }) => {
                Err(End::Declined(DeclineReason::Unreachable, self.worker.ask_again_after))
            }
            Err(error) => Err(self.later(&error)),
        }
    }

    /// Sends another code. Says whether one was: if not, the person may still have the last one.
    async fn resend(&mut self, phone: &PhoneNumber, ask: &mut Ask) -> Result<bool, End> {
        match self.send(phone).await {
            Ok(challenge) if challenge.sent_at() == ask.challenge.sent_at() => Ok(false),
            Ok(challenge) => {
                ask.challenge = challenge;
                ask.attempts_left = None;
                Ok(true)
            }
            // Whatever the reason, the person is there and has a code that may be tried.
            Err(End::Later(_) | End::Declined(..)) if self.pending().await => Ok(false),
            Err(end) => Err(end),
        }
    }

    async fn pending(&self) -> bool {
        matches!(self.worker.flow.pending(&self.user).await, Ok(Some(_)))
    }

    /// What the person says, as long as the claim and the code are good.
    async fn reply(&mut self, ask: &Ask) -> Result<PersonReply, End> {
        let people = Arc::clone(&self.worker.people);
        let lapse = self.clock.sleep(self.time_until(ask.challenge.lapses_at()));
        let reply = async {
            tokio::select! {
                reply = caught(people.code(ask)) => Some(reply),
                () = lapse => None,
            }
        };
        match self.kept(reply).await? {
            Some(reply) => reply.map_err(|_| self.panicked()),
            None => Err(End::Later(self.worker.ask_again_after)),
        }
    }

    /// What a code that made no session means for the next question. Says whether it was tried.
    async fn not_logged_in(&mut self, error: LoginError, ask: &mut Ask) -> Result<bool, End> {
        match error {
            LoginError::WrongCode { attempts_left, .. } => {
                ask.attempts_left = Some(attempts_left);
                Ok(true)
            }
            LoginError::Locked { .. }
            | LoginError::NoOpenChallenge { .. }
            | LoginError::CodeAlreadyUsed { .. } => {
                ask.attempts_left = Some(0);
                Ok(false)
            }
            // The person has done all that a person can.
            LoginError::NotSaved { arrival, .. } => Err(self.save(&arrival).await),
            error => Err(self.later(&error)),
        }
    }

    /// Saves it as soon as the store takes it, unless the user has logged in by other ways, or was
    /// revoked.
    async fn save(&mut self, arrival: &Arrival) -> End {
        loop {
            let pause = self.clock.sleep(self.worker.pause);
            if self.kept(pause).await.is_err() {
                return End::Over;
            }
            match self.kept(arrival.save_again()).await {
                Ok(Err(error)) if !matches!(error, Error::AlreadyExpired { .. }) => {
                    let error = Chain(&error);
                    tracing::warn!(user = %self.user, %error, "a login is not saved yet");
                }
                Ok(Ok(Arrived::Revoked)) => return End::Later(self.worker.pause),
                _ => return End::Over,
            }
        }
    }

    fn later(&self, error: &LoginError) -> End {
        let (user, chain) = (&self.user, Chain(error));
        if let LoginError::ResendTooSoon { .. } = error {
            // Nothing has failed.
            tracing::debug!(%user, error = %chain, "a person cannot be asked yet");
        } else {
            tracing::warn!(%user, error = %chain, "a person could not be asked");
        }
        let time = error.retry_at().map(|at| self.time_until(at));
        End::Later(time.unwrap_or_default().max(self.worker.pause))
    }

    /// If the request went back at once, the person might be asked again at once, without end.
    fn panicked(&self) -> End {
        tracing::error!(user = %self.user, "asking a person panicked");
        End::Later(self.worker.pause)
    }

    fn time_until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.clock.now()).to_std().unwrap_or_default()
    }
}

/// What a future gives, or its panic.
async fn caught<T>(future: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(outcome) => outcome.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
