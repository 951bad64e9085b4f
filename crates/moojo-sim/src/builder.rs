use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use moojo_session::{Clock, SystemClock};

use crate::settings::Settings;
use crate::{MoojoSim, SimError};

/// Sets up a [`MoojoSim`]; made by [`MoojoSim::builder`].
#[must_use = "nothing runs before `start`"]
pub struct MoojoSimBuilder {
    bind: SocketAddr,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

impl MoojoSimBuilder {
    pub(crate) fn new() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock: Arc::new(SystemClock),
            settings: Settings::default(),
        }
    }

    /// Where to listen. 127.0.0.1 and a free port if unset.
    pub fn bind(mut self, addr: SocketAddr) -> Self {
        self.bind = addr;
        self
    }

    /// The clock that codes and tokens end by and that the `Date` header shows;
    /// [`SystemClock`] if unset.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    /// Like [`clock`](Self::clock), for a clock that is shared already.
    pub fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The key that callers must send; [`MoojoSim::DEFAULT_API_KEY`] if unset.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.settings.api_key = key.into();
        self
    }

    /// Makes codes, tokens and ids the same in every run that sends the same requests in the same
    /// order. If unset they differ from run to run and from simulator to simulator.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// How long a code can be used; 10 minutes if unset. An assumption: Moojo does not say.
    pub fn code_ttl(mut self, ttl: Duration) -> Self {
        self.settings.code_ttl = ttl;
        self
    }

    /// After how many wrong attempts a code is locked, so that the right one is refused too; 5 if
    /// unset. An assumption: Moojo does not say.
    pub fn code_attempts(mut self, attempts: u32) -> Self {
        self.settings.code_attempts = attempts;
        self
    }

    /// Whether a new code ends those that were sent to the number before; yes if unset. An
    /// assumption: Moojo does not say.
    pub fn new_code_ends_older(mut self, ends: bool) -> Self {
        self.settings.new_code_ends_older = ends;
        self
    }

    /// How long a token lives; the documented two hours if unset.
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.settings.token_ttl = ttl;
        self
    }

    /// Whether a new login ends the user's older tokens; no if unset. An assumption: Moojo does
    /// not say.
    pub fn new_login_ends_older(mut self, ends: bool) -> Self {
        self.settings.new_login_ends_older = ends;
        self
    }

    /// The status for an api key that is not the right one; 403 if unset. A missing key is always
    /// 401. An assumption: Moojo does not say.
    pub fn wrong_key_status(mut self, status: StatusCode) -> Self {
        self.settings.wrong_key_status = status;
        self
    }

    /// The status for a code that is wrong, expired, used or locked; 400 if unset. An assumption:
    /// Moojo does not say.
    pub fn wrong_code_status(mut self, status: StatusCode) -> Self {
        self.settings.wrong_code_status = status;
        self
    }

    /// How many requests are kept for [`MoojoSim::requests`], and messages for
    /// [`MoojoSim::inbox`], the oldest going first; 100,000 of each if unset.
    pub fn record_limit(mut self, limit: usize) -> Self {
        self.settings.record_limit = limit;
        self
    }

    /// Whether faults can also be set over HTTP (`POST` and `DELETE /sim/faults`); yes if unset.
    pub fn fault_control(mut self, allowed: bool) -> Self {
        self.settings.fault_control = allowed;
        self
    }

    /// Listens and serves on tasks of the current tokio runtime until the [`MoojoSim`] is shut
    /// down or dropped.
    ///
    /// # Errors
    /// [`SimError`] if the address cannot be listened on or a setting cannot be.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn start(self) -> Result<MoojoSim, SimError> {
        self.settings.check()?;
        MoojoSim::launch(self.bind, self.clock, self.settings).await
    }
}

impl fmt::Debug for MoojoSimBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the settings: the api key is one of them.
        f.debug_struct("MoojoSimBuilder")
            .field("bind", &self.bind)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
