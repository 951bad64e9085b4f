use std::sync::Arc;
use std::time::Duration;

use moojo_session::{ChallengeStore, MemoryChallengeStore, SessionManager};

use super::flights::Flights;
use super::machine::Policy;
use super::store::Challenges;
use super::{Inner, LoginFlow};
use crate::client::MoojoClient;

/// Settings of a [`LoginFlow`]; from [`LoginFlow::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LoginFlowBuilder {
    moojo: MoojoClient,
    sessions: SessionManager,
    challenges: Arc<dyn ChallengeStore>,
    store_timeout: Duration,
    policy: Policy,
    sends_per_number: u32,
    sends_window: Duration,
    max_under_way: usize,
}

impl LoginFlowBuilder {
    pub(super) fn new(moojo: MoojoClient, sessions: SessionManager) -> Self {
        Self {
            moojo,
            sessions,
            challenges: Arc::new(MemoryChallengeStore::new()),
            store_timeout: Duration::from_secs(5),
            policy: Policy {
                resend_cooldown: Duration::from_secs(30),
                code_life: Duration::from_secs(10 * 60),
                attempts_per_code: 5,
            },
            sends_per_number: 5,
            sends_window: Duration::from_secs(60 * 60),
            max_under_way: 10_000,
        }
    }

    /// Where the logins under way are kept. Default: in the memory of this process.
    pub fn challenges(mut self, store: impl ChallengeStore) -> Self {
        self.challenges = Arc::new(store);
        self
    }

    /// How long one call of that store may take before it counts as failed. Default: 5 seconds.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// After what time a user can ask for another code, whatever the number. Default: 30 seconds.
    pub fn resend_cooldown(mut self, time: Duration) -> Self {
        self.policy.resend_cooldown = time;
        self
    }

    /// How long a code can be verified. How long Moojo's codes live is not documented: this only
    /// says when to forget them here. Default: 10 minutes.
    pub fn code_life(mut self, time: Duration) -> Self {
        self.policy.code_life = time;
        self
    }

    /// How often a code can be tried. Default: 5 times.
    pub fn attempts_per_code(mut self, attempts: u32) -> Self {
        self.policy.attempts_per_code = attempts;
        self
    }

    /// How many codes a number can get in any window of this length, whoever asks for them.
    /// Default: 5 an hour.
    pub fn sends_per_number(mut self, sends: u32, window: Duration) -> Self {
        self.sends_per_number = sends;
        self.sends_window = window;
        self
    }

    /// How many sends, and how many logins, may be under way in this process at once.
    /// Default: 10,000 of each kind.
    pub fn max_under_way(mut self, calls: usize) -> Self {
        self.max_under_way = calls;
        self
    }

    /// Makes the flow. It takes the time from the session manager's clock.
    pub fn build(self) -> LoginFlow {
        let clock = self.sessions.clock();
        LoginFlow {
            shared: Arc::new(Inner {
                moojo: self.moojo,
                sessions: self.sessions,
                challenges: Challenges::new(
                    self.challenges,
                    Arc::clone(&clock),
                    self.store_timeout,
                ),
                clock,
                policy: self.policy,
                sends_per_number: self.sends_per_number,
                sends_window: self.sends_window,
            }),
            sends: Flights::new(self.max_under_way),
            verifications: Flights::new(self.max_under_way),
            jwts: Flights::new(self.max_under_way),
        }
    }
}
