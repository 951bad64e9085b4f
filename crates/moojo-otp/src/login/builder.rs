use std::sync::Arc;
use std::time::Duration;

use moojo_session::{ChallengeStore, MemoryChallengeStore, SessionManager, UserId};

use super::flights::Flights;
use super::limits::{Limit, Limits, TenantOf};
use super::machine::Policy;
use super::prefixes::{InvalidPrefix, Prefixes};
use super::store::Challenges;
use super::{Inner, LoginFlow};
use crate::client::MoojoClient;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The most unanswered sends that are counted: each is given back by a call of its own.
const MAX_UNANSWERED: u32 = 100;

/// Settings of a [`LoginFlow`]; from [`LoginFlow::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LoginFlowBuilder {
    moojo: MoojoClient,
    sessions: SessionManager,
    challenges: Arc<dyn ChallengeStore>,
    store_timeout: Duration,
    policy: Policy,
    limits: Limits,
    prefixes: Prefixes,
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
            limits: Limits {
                per_number: Limit { sends: 5, window: HOUR },
                per_tenant: None,
                tenant_of: TenantOf(Arc::new(|_| String::new())),
                unanswered: Some(Limit { sends: 3, window: HOUR }),
            },
            prefixes: Prefixes::default(),
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
    ///
    /// A code that Moojo refuses to send counts too, so that it is not asked for ever.
    pub fn sends_per_number(mut self, sends: u32, window: Duration) -> Self {
        self.limits.per_number = Limit { sends, window };
        self
    }

    /// How many codes the users of one tenant can get in any window of this length, all together;
    /// what Moojo did not send is not counted. Default: no limit.
    ///
    /// [`tenant_of`](Self::tenant_of) tells the tenants; without it all users are one.
    pub fn sends_per_tenant(mut self, sends: u32, window: Duration) -> Self {
        self.limits.per_tenant = Some(Limit { sends, window });
        self
    }

    /// Tells which tenant a user is of, for [`sends_per_tenant`](Self::sends_per_tenant). It must
    /// say the same in all processes on the store.
    pub fn tenant_of(mut self, tenant: impl Fn(&UserId) -> String + Send + Sync + 'static) -> Self {
        self.limits.tenant_of = TenantOf(Arc::new(tenant));
        self
    }

    /// How many codes in a row a user can get in any window of this length without logging in with
    /// one, whatever the numbers. Then the user is left alone until the first of them is so long
    /// ago; a login with a code makes all of them count as answered. What Moojo did not send is not
    /// counted. Default: 3 an hour.
    ///
    /// Each login with a code makes this many calls of the store. More than 100 is no limit.
    pub fn unanswered_sends(mut self, sends: u32, window: Duration) -> Self {
        self.limits.unanswered = (sends <= MAX_UNANSWERED).then_some(Limit { sends, window });
        self
    }

    /// Lets codes be sent to numbers in E.164 that begin like this, such as `"1"` or `"49"`, and no
    /// longer to any other. Default: to all numbers.
    ///
    /// Of all prefixes of a number, allowed or denied, the longest decides, and a denied one if two
    /// are the same. What is set here and by [`deny_prefixes`](Self::deny_prefixes) adds up.
    ///
    /// # Errors
    /// [`InvalidPrefix`] if one has anything but digits, after a `+` or without.
    pub fn allow_prefixes<P: AsRef<str>>(
        mut self,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, InvalidPrefix> {
        for prefix in prefixes {
            self.prefixes.allow(prefix.as_ref())?;
        }
        Ok(self)
    }

    /// Lets no codes be sent to numbers in E.164 that begin like this, such as `"1900"`. Default:
    /// none is denied. See [`allow_prefixes`](Self::allow_prefixes) for which prefix decides.
    ///
    /// # Errors
    /// [`InvalidPrefix`] if one has anything but digits, after a `+` or without.
    pub fn deny_prefixes<P: AsRef<str>>(
        mut self,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, InvalidPrefix> {
        for prefix in prefixes {
            self.prefixes.deny(prefix.as_ref())?;
        }
        Ok(self)
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
                limits: self.limits,
                prefixes: self.prefixes,
            }),
            sends: Flights::new(self.max_under_way),
            verifications: Flights::new(self.max_under_way),
            jwts: Flights::new(self.max_under_way),
        }
    }
}
