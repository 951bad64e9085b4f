//! Asking people: the queue of those who have to log in again, and the login flow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moojo_session::ReauthQueue;
use tokio::task::JoinSet;

use crate::login::LoginFlow;

mod asking;
mod people;

pub use people::{Ask, People, PersonReply};

use asking::Asking;

/// Less than this, between two tries of anything, would keep the worker busy with nothing else.
const SHORTEST: Duration = Duration::from_secs(1);

/// Takes requests from the [`ReauthQueue`](moojo_session::ReauthQueue), has a code sent for each and
/// asks the person for it.
///
/// One code is sent for a user however many calls, workers and processes want it: if a code may be
/// in the person's hands already, that one is asked for, also by the worker that takes over from one
/// that crashed. Another is sent when the person wants one ([`PersonReply::Resend`]), or when the request is
/// handed out again after the code has lapsed without an answer.
///
/// ```no_run
/// # use moojo_otp::{Ask, LoginFlow, LoginWorker, People, PhoneNumber, PersonReply};
/// # use moojo_session::{UserId, async_trait};
/// #[derive(Debug)]
/// struct MyApp;
///
/// #[async_trait]
/// impl People for MyApp {
///     async fn phone(
///         &self,
///         user: &UserId,
///     ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(Some("+1(555)987-6543".parse()?)) // from your user records
///     }
///
///     async fn code(&self, ask: &Ask) -> PersonReply {
///         println!("{}: type the code, please", ask.user());
///         for purpose in ask.request().purposes() {
///             println!("  for {purpose}");
///         }
///         PersonReply::NoAnswer
///     }
/// }
///
/// # async fn example(login: LoginFlow) {
/// tokio::spawn(LoginWorker::new(login, MyApp).run());
/// # }
/// ```
#[must_use]
pub struct LoginWorker {
    flow: LoginFlow,
    people: Arc<dyn People>,
    concurrency: usize,
    lease: Duration,
    pause: Duration,
    ask_again_after: Duration,
}

impl LoginWorker {
    /// A worker with the default settings.
    pub fn new(flow: LoginFlow, people: impl People) -> Self {
        Self {
            flow,
            people: Arc::new(people),
            concurrency: 10_000,
            lease: Duration::from_secs(60),
            pause: Duration::from_secs(30),
            ask_again_after: Duration::from_secs(5 * 60),
        }
    }

    /// How many people are asked at once. Default: 10,000.
    pub fn concurrency(mut self, people: usize) -> Self {
        self.concurrency = people.max(1);
        self
    }

    /// For how long a request is claimed. It is claimed anew at half that time as long as the person
    /// is being asked, so this is how long it takes until another worker has it after this one's
    /// process has died. Default: 60 seconds; at least 1.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time.max(SHORTEST);
        self
    }

    /// How long a request is put aside when Moojo or a store does not work, unless they say.
    /// Default: 30 seconds; at least 1.
    pub fn pause(mut self, time: Duration) -> Self {
        self.pause = time.max(SHORTEST);
        self
    }

    /// How long a person who did not answer is left alone, if calls still wait then.
    /// Default: 5 minutes; at least 1 second.
    pub fn ask_again_after(mut self, time: Duration) -> Self {
        self.ask_again_after = time.max(SHORTEST);
        self
    }

    /// Asks people, many at once, without end. Dropped, it gives its claims back.
    pub async fn run(self) {
        let queue: ReauthQueue = self.flow.sessions().reauth_queue();
        let worker = Arc::new(self);
        let mut asked = JoinSet::new();
        loop {
            tokio::select! {
                claim = queue.next(), if asked.len() < worker.concurrency => {
                    asked.spawn(Asking::new(Arc::clone(&worker), claim).run());
                }
                // A task that panicked has given its claim back.
                Some(_) = asked.join_next() => {}
            }
        }
    }
}

impl fmt::Debug for LoginWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginWorker")
            .field("flow", &self.flow)
            .field("people", &self.people)
            .field("concurrency", &self.concurrency)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
