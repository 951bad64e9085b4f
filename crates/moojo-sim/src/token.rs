use std::fmt;

use chrono::{DateTime, Utc};

/// A token as Moojo gives it out; made by [`MoojoSim::login`](crate::MoojoSim::login).
///
/// `Debug` leaves the token out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssuedToken {
    /// 64 hexadecimal characters.
    pub token: String,
    /// When it ends, on the simulator's clock.
    pub expires_at: DateTime<Utc>,
    /// The user's `publicUserId`, a UUID; the same at every login of the user.
    pub public_user_id: String,
    /// The user's `publicKey`, 33 bytes in hexadecimal after `0x`.
    pub public_key: String,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("expires_at", &self.expires_at)
            .field("public_user_id", &self.public_user_id)
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}
