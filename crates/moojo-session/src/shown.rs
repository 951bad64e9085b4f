//! What errors and logs show.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// An error with all its sources, for a log: `Display` shows their texts one after the other,
/// parted by `: `. Our own errors show only what they say themselves, as is the custom.
///
/// ```
/// use moojo_session::{Chain, Error, StoreError};
///
/// let error: Error = StoreError::unavailable("connection refused").into();
/// assert_eq!(error.to_string(), "the session could not be looked up or changed");
/// assert_eq!(
///     Chain(&error).to_string(),
///     "the session could not be looked up or changed: the store is unavailable: connection refused"
/// );
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// Lets through one of many lines of a kind a minute.
#[derive(Debug, Default)]
pub(crate) struct OncePerMinute(Option<Duration>);

impl OncePerMinute {
    const PAUSE: Duration = Duration::from_secs(60);

    /// Whether one that comes at `now` is to be said: by any steady clock, but always the same. The
    /// next is then a minute later.
    pub(crate) fn lets_through(&mut self, now: Duration) -> bool {
        let is_due = self.0.is_none_or(|last| now >= last.saturating_add(Self::PAUSE));
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// A URL as an error may show it: `…` stands for a user name and a password, and for a query or a
/// fragment. Of a text without `://` nothing is shown: it may be a key in the wrong place.
///
/// ```
/// use moojo_session::redacted_url;
///
/// assert_eq!(redacted_url("redis://app:secret@cache:6379/1"), "redis://…@cache:6379/1");
/// assert_eq!(redacted_url("https://api.moojo.id/v1?key=secret"), "https://api.moojo.id/v1?…");
/// assert_eq!(redacted_url("secret"), "(a text without ://)");
/// ```
pub fn redacted_url(url: &str) -> String {
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return "(a text without ://)".to_owned();
    };
    let (name, rest) = match rest.rsplit_once('@') {
        // A password that is not encoded, or an `@` in a path or query: nobody knows what is what.
        Some((name, _)) if name.contains(['/', '?', '#']) => return format!("{scheme}://…"),
        Some((_, rest)) => ("…@", rest),
        None => ("", rest),
    };
    let end = rest.find(['?', '#']).map(|at| at + 1);
    let (rest, query) = end.map_or((rest, ""), |end| (&rest[..end], "…"));
    format!("{scheme}://{name}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_13_no_credentials_of_a_url_are_shown() {
        for url in [
            "https://planted@a.example",
            "https://user:planted@a.example:1/x",
            "https://user:planted@/planted?@a.example",
            "https://a.example?planted",
            "https://a.example/x#planted@planted?planted",
            "https://a.example/?planted@x#planted",
            "planted",
            "planted@a.example",
            "user:planted@a.example://x",
            "//planted@a.example",
            "",
        ] {
            assert!(!redacted_url(url).contains("planted"), "{url}: {}", redacted_url(url));
        }
        assert_eq!(redacted_url("https://a.example:8443/x"), "https://a.example:8443/x");
    }
}
