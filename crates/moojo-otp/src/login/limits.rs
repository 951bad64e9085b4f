//! How many codes are sent: to a number, for a tenant, to somebody who does not answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::{Admission, Quota, UserId};
use zeroize::Zeroizing;

use super::Inner;
use super::error::LoginError;
use crate::phone::PhoneNumber;

/// So many sends in any window of this length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) sends: u32,
    pub(super) window: Duration,
}

/// What the flow's owner has set.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) per_number: Limit,
    pub(super) per_tenant: Option<Limit>,
    pub(super) tenant_of: TenantOf,
    pub(super) unanswered: Option<Limit>,
}

/// Tells a user's tenant.
#[derive(Clone)]
pub(super) struct TenantOf(pub(super) Arc<dyn Fn(&UserId) -> String + Send + Sync>);

impl fmt::Debug for TenantOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantOf(..)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unanswered,
    Number,
    Tenant,
}

/// One thing that a send counts for. A phone number may be in its key.
struct Counted {
    kind: Kind,
    key: Zeroizing<String>,
    limit: Limit,
}

/// What a send was admitted by, to be given back if it is not made.
#[must_use]
pub(super) struct Admitted(Vec<Counted>);

impl Limits {
    /// All that a send counts for.
    fn counted(&self, user: &UserId, phone: &PhoneNumber) -> Vec<Counted> {
        let key = Zeroizing::new(format!("sends:{}", phone.e164()));
        let mut counted = vec![Counted { kind: Kind::Number, key, limit: self.per_number }];
        if let Some(limit) = self.per_tenant {
            let key = Zeroizing::new(format!("tenant:{}", (self.tenant_of.0)(user)));
            counted.push(Counted { kind: Kind::Tenant, key, limit });
        }
        counted.extend(self.unanswered_by(user));
        counted
    }

    fn unanswered_by(&self, user: &UserId) -> Option<Counted> {
        let key = Zeroizing::new(format!("unanswered:{user}"));
        self.unanswered.map(|limit| Counted { kind: Kind::Unanswered, key, limit })
    }
}

impl Counted {
    fn quota(&self) -> Quota<'_> {
        Quota { key: &self.key, limit: self.limit.sends, window: self.limit.window }
    }

    fn refusal(&self, retry_at: DateTime<Utc>) -> LoginError {
        match self.kind {
            Kind::Unanswered => LoginError::NotAnswering { retry_at },
            Kind::Number => LoginError::TooManySends { retry_at },
            Kind::Tenant => LoginError::TooManyTenantSends { retry_at },
        }
    }
}

impl Inner {
    /// Counts one send for all that it counts for, or for nothing.
    pub(super) async fn admit(
        &self,
        user: &UserId,
        phone: &PhoneNumber,
    ) -> Result<Admitted, LoginError> {
        let mut admitted = Admitted(Vec::new());
        for counted in self.limits.counted(user, phone) {
            let refusal = match self.challenges.admit(&counted.quota(), self.clock.now()).await {
                Ok(Admission::Granted) => {
                    admitted.0.push(counted);
                    continue;
                }
                Ok(Admission::Refused { until }) => counted.refusal(until),
                // This one may have been counted or not: to give it back might take another's.
                Err(error) => error.into(),
            };
            self.not_sent(&admitted).await;
            return Err(refusal);
        }
        Ok(admitted)
    }

    /// For a send that was admitted and then certainly not made.
    pub(super) async fn not_sent(&self, Admitted(admitted): &Admitted) {
        for counted in admitted {
            self.challenges.give_back(&counted.quota(), self.clock.now()).await;
        }
    }

    /// For a send that Moojo refused. Nobody got a code and nobody pays for one, but the number
    /// stays counted, so that Moojo is not asked for it for ever.
    pub(super) async fn refused(&self, Admitted(admitted): &Admitted) {
        for counted in admitted.iter().filter(|counted| counted.kind != Kind::Number) {
            self.challenges.give_back(&counted.quota(), self.clock.now()).await;
        }
    }

    /// For a user who has logged in with a code: none that was sent before counts as unanswered.
    pub(super) async fn answered(&self, user: &UserId) {
        let Some(counted) = self.limits.unanswered_by(user) else { return };
        for _ in 0..counted.limit.sends {
            // Somebody waits for the session, and should not wait for a store that is down.
            if !self.challenges.give_back(&counted.quota(), self.clock.now()).await {
                return;
            }
        }
    }
}
