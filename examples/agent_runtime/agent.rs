//! A task, call by call.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use moojo_examples::{Body, HttpClient};
use moojo_session::{Clock, Error, InvalidPurpose, ManualClock, Purpose, SessionService, UserId};
use tower::ServiceExt;
use tower::limit::ConcurrencyLimit;

use super::tally::Tally;

pub(super) type Client = SessionService<ConcurrencyLimit<HttpClient>>;

/// Says at the server whom a call was meant for, so that the tokens can be checked there.
pub(super) const MEANT_FOR: &str = "x-agent-user";

/// An agent with one task, for one user.
pub(super) struct Agent {
    pub(super) user: UserId,
    pub(super) purpose: Purpose,
    pub(super) client: Client,
    pub(super) moojo: String,
    pub(super) clock: ManualClock,
    pub(super) tally: Arc<Tally>,
    pub(super) dice: fastrand::Rng,
}

/// How a call ended.
enum End {
    Answered,
    /// The person is not asked before then.
    Declined(DateTime<Utc>),
    PastDeadline,
    Lost,
}

struct GivenUp;

/// What the person is told that the code is for.
pub(super) fn purpose(number: usize) -> Result<Purpose, InvalidPurpose> {
    Purpose::new(["groceries", "trip planning", "flat hunting"][number % 3])
}

impl Agent {
    pub(super) async fn run(mut self, calls: usize) {
        for number in 0..calls {
            let thinks = Duration::from_secs(self.dice.u64(60..17 * 60));
            self.clock.sleep(thinks).await;
            if let Err(GivenUp) = self.step(number).await {
                return self.tally.given_up.add(1);
            }
        }
        self.tally.finished.add(1);
    }

    /// One call of the task. If the person does not want to be asked now, the task is put aside until
    /// then; but only twice.
    async fn step(&self, number: usize) -> Result<(), GivenUp> {
        for _ in 0..3 {
            match self.call(number).await {
                End::Answered => return Ok(()),
                End::PastDeadline | End::Lost => break,
                End::Declined(until) => {
                    let time = (until - self.clock.now()).to_std().unwrap_or_default();
                    self.tally.put_aside.add(1);
                    self.clock.sleep(time).await;
                    self.tally.put_aside.subtract(1);
                }
            }
        }
        Err(GivenUp)
    }

    /// One call. The layer waits for the person if need be; all ends that it can have are in here.
    async fn call(&self, number: usize) -> End {
        self.tally.begun.add(1);
        let began = self.clock.monotonic();
        let request = match self.request(number) {
            Ok(request) => request,
            Err(error) => return self.lost(error.to_string()),
        };
        match self.client.clone().oneshot(request).await {
            Ok(response) if response.status() == StatusCode::OK => {
                if let Err(error) = response.into_body().collect().await {
                    return self.lost(error.to_string());
                }
                // No time goes by while a call is on the way: only a person takes time.
                let waited = self.clock.monotonic() > began;
                self.tally.resumed.add(usize::from(waited));
                self.tally.answered.add(1);
                End::Answered
            }
            Err(Error::Declined(declined)) => {
                self.tally.declined.add(1);
                End::Declined(declined.until())
            }
            Err(Error::ReauthRequired(signal)) if signal.waited().is_some() => {
                self.tally.past_deadline.add(1);
                End::PastDeadline
            }
            Ok(response) => self.lost(format!("the answer was {}", response.status())),
            Err(error) => self.lost(format!("{error:?}")),
        }
    }

    /// It names the user, and what the call is for.
    fn request(&self, number: usize) -> http::Result<Request<Body>> {
        let path = ["user/vault/list-credentials", "user/vault/compute-fit-score"][number % 2];
        let mut request = Request::post(format!("{}/{path}", self.moojo))
            .header("content-type", "application/json")
            .header(MEANT_FOR, self.user.as_str())
            .body(Body::default())?;
        request.extensions_mut().insert(self.user.clone());
        request.extensions_mut().insert(self.purpose.clone());
        Ok(request)
    }

    fn lost(&self, why: String) -> End {
        self.tally.note_lost(why);
        End::Lost
    }
}
