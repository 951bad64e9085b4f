use std::collections::HashMap;

use chrono::{DateTime, Utc};

/// The tokens that were given out. They stay known after their end, so that a test can still ask
/// whose one was.
#[derive(Default)]
pub(super) struct Tokens {
    by_token: HashMap<String, Token>,
    /// The tokens of a user that may still live.
    by_owner: HashMap<String, Vec<String>>,
}

struct Token {
    owner: String,
    expires_at: DateTime<Utc>,
    revoked: bool,
}

impl Token {
    /// Documented: two hours of life. Assumption: that the last moment is no longer part of them.
    fn is_live(&self, now: DateTime<Utc>) -> bool {
        !self.revoked && now < self.expires_at
    }
}

impl Tokens {
    pub(super) fn add(&mut self, token: String, owner: String, expires_at: DateTime<Utc>) {
        self.by_owner.entry(owner.clone()).or_default().push(token.clone());
        self.by_token.insert(token, Token { owner, expires_at, revoked: false });
    }

    pub(super) fn live_owner(&self, token: &str, now: DateTime<Utc>) -> Option<&str> {
        let token = self.by_token.get(token)?;
        token.is_live(now).then_some(token.owner.as_str())
    }

    pub(super) fn owner(&self, token: &str) -> Option<&str> {
        Some(self.by_token.get(token)?.owner.as_str())
    }

    /// Says whether the token was live until now.
    pub(super) fn revoke(&mut self, token: &str, now: DateTime<Utc>) -> bool {
        let Some(token) = self.by_token.get_mut(token) else { return false };
        let was_live = token.is_live(now);
        token.revoked = true;
        was_live
    }

    /// Says how many tokens were live until now.
    pub(super) fn revoke_all(&mut self, owner: &str, now: DateTime<Utc>) -> usize {
        let tokens = self.by_owner.remove(owner).unwrap_or_default();
        tokens.iter().filter(|token| self.revoke(token, now)).count()
    }
}
