use moojo_session::{Change, Session, SessionId, UserId};

/// What is told of a change: `+`, the session's id and the user; `-` and the user; or `*`. At most
/// 289 bytes (PostgreSQL takes 7999), and no token.
pub(crate) struct Notice(String);

impl Notice {
    const ID_LEN: usize = 32;

    pub(crate) fn saved(session: &Session) -> Self {
        Self(format!("+{}{}", session.id(), session.user()))
    }

    pub(crate) fn removed(user: &UserId) -> Self {
        Self(format!("-{user}"))
    }

    pub(crate) fn all_in_doubt() -> Self {
        Self("*".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The change that a notice tells of. One that cannot be read, of a later version perhaps, may
    /// be about anybody.
    pub(crate) fn read(notice: &str) -> Change {
        let change = match notice.as_bytes().first() {
            Some(b'+') => Self::read_saved(&notice[1..]),
            Some(b'-') => UserId::new(&notice[1..]).ok().map(|user| Change::Removed { user }),
            _ => None,
        };
        change.unwrap_or(Change::Lagged)
    }

    fn read_saved(rest: &str) -> Option<Change> {
        let (id, user) = rest.split_at_checked(Self::ID_LEN)?;
        let id: SessionId = id.parse().ok()?;
        Some(Change::Saved { user: UserId::new(user).ok()?, id })
    }
}

#[cfg(test)]
mod tests {
    use moojo_session::AccessToken;

    use super::*;

    #[test]
    fn what_is_told_is_read() {
        for name in ["a", "-", "+é🦀", &"é".repeat(128)] {
            let user = UserId::new(name).unwrap();
            let session = Session::builder(user.clone(), AccessToken::new("planted").unwrap())
                .expires_at("2025-02-16T15:12:52Z".parse().unwrap())
                .build()
                .unwrap();
            let saved = Notice::saved(&session);
            let id = session.id();
            assert_eq!(Notice::read(saved.as_str()), Change::Saved { user: user.clone(), id });
            assert!(saved.as_str().len() < 300 && !saved.as_str().contains("planted"));
            let removed = Notice::removed(&user);
            assert_eq!(Notice::read(removed.as_str()), Change::Removed { user });
        }
    }

    #[test]
    fn what_cannot_be_read_puts_all_in_doubt() {
        let short = format!("+{}", SessionId::random());
        for notice in ["", "*", "+", "-", "+ab", "?x", "+é", short.as_str(), "-a\nb"] {
            assert_eq!(Notice::read(notice), Change::Lagged, "{notice}");
        }
    }
}
