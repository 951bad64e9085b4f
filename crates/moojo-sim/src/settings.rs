use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::SimError;

/// How the simulated Moojo behaves: what the builder has collected.
pub(crate) struct Settings {
    pub(crate) api_key: String,
    pub(crate) seed: Option<u64>,
    pub(crate) code_ttl: Duration,
    pub(crate) code_attempts: u32,
    pub(crate) new_code_ends_older: bool,
    pub(crate) token_ttl: Duration,
    pub(crate) new_login_ends_older: bool,
    pub(crate) wrong_key_status: StatusCode,
    pub(crate) wrong_code_status: StatusCode,
    pub(crate) record_limit: usize,
    pub(crate) fault_control: bool,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SimError> {
        if self.api_key.is_empty() || HeaderValue::from_str(&self.api_key).is_err() {
            return Err(SimError::ApiKey);
        }
        for status in [self.wrong_key_status, self.wrong_code_status] {
            if !(status.is_client_error() || status.is_server_error()) {
                return Err(SimError::Status(status));
            }
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_key: crate::MoojoSim::DEFAULT_API_KEY.to_owned(),
            seed: None,
            // Assumption: how long a code lives and how many attempts it has is documented nowhere.
            code_ttl: Duration::from_secs(10 * 60),
            code_attempts: 5,
            // Assumption: so do the SMS services that such logins are usually built on.
            new_code_ends_older: true,
            // Documented: "a 2-hour expiration period".
            token_ttl: Duration::from_secs(2 * 60 * 60),
            // Assumption: nothing says that a new login ends an older token.
            new_login_ends_older: false,
            // Assumption: no error status is documented.
            wrong_key_status: StatusCode::FORBIDDEN,
            wrong_code_status: StatusCode::BAD_REQUEST,
            record_limit: 100_000,
            fault_control: true,
        }
    }
}
