//! Which answers mean that the token was refused.
//!
//! Moojo documents no error answers. What is assumed of them stands in this file and nowhere else,
//! and [`SessionLayer::classifier`](crate::SessionLayer::classifier) replaces it.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};

pub(super) type Classifier = dyn Fn(StatusCode, &HeaderMap) -> Option<Refusal> + Send + Sync;

/// An answer that refused the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Refusal {
    trace_id: Option<Box<str>>,
}

impl Refusal {
    /// A refusal without a trace id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes the trace id of the answer, if it has one, for
    /// [`ReauthRequired::trace_id`](crate::ReauthRequired::trace_id).
    pub fn trace_id(mut self, trace_id: Option<&str>) -> Self {
        self.trace_id = trace_id.map(Box::from);
        self
    }

    pub(super) fn as_trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }
}

/// The default classifier: a 401 refuses the token, unless its `WWW-Authenticate` header says that
/// something else was wrong.
///
/// By [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3) a server names the error of a
/// bearer token in that header, and `invalid_token` is the one of a token that is expired, revoked
/// or malformed. An answer without the header, or without an error in it, is taken at its status.
/// One that asks only for another scheme (a gateway's `Basic`) did not look at the token.
pub fn refused_token(status: StatusCode, headers: &HeaderMap) -> Option<Refusal> {
    let refused = status == StatusCode::UNAUTHORIZED && blames_token(headers);
    refused.then(Refusal::new)
}

fn blames_token(headers: &HeaderMap) -> bool {
    let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter().peekable();
    challenges.peek().is_none() || challenges.any(is_about_token)
}

/// One header may hold several challenges; these are separated by commas, as their parameters are.
fn is_about_token(challenges: &HeaderValue) -> bool {
    let challenges = String::from_utf8_lossy(challenges.as_bytes());
    let (mut bearer, mut asks_for_bearer) = (false, false);
    for part in outside_quotes(&challenges) {
        let (name, rest) = part.trim().split_once([' ', '\t']).unwrap_or((part.trim(), ""));
        let begins_challenge = !name.contains('=') && !rest.trim_start().starts_with('=');
        if begins_challenge {
            bearer = name.eq_ignore_ascii_case("bearer");
            asks_for_bearer |= bearer;
        }
        let parameter = if begins_challenge { rest } else { part };
        let error = parameter.split_once('=').filter(|(name, _)| name.trim() == "error");
        if let (true, Some((_, error))) = (bearer, error) {
            return error.trim().trim_matches('"') == "invalid_token";
        }
    }
    asks_for_bearer
}

/// The parts between the commas that do not stand in a quoted text.
fn outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, challenges: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        refused_token(StatusCode::from_u16(status).unwrap(), &headers).is_some()
    }

    #[test]
    fn rule_5_a_401_about_the_token_refuses_it() {
        assert!(refused(401, &[]));
        assert!(refused(401, &["Bearer"]));
        assert!(refused(401, &["Bearer realm=\"moojo\""]));
        assert!(refused(401, &["bearer error=\"invalid_token\", error_description=\"ended\""]));
        assert!(refused(401, &["Bearer realm=\"x\", error=\"invalid_token\""]));
        assert!(refused(401, &["Basic realm=\"gateway\"", "Bearer"]));
        assert!(refused(401, &["Basic realm=\"gateway\", Bearer error=\"invalid_token\""]));
    }

    #[test]
    fn rule_5_other_answers_do_not() {
        assert!(!refused(403, &[]));
        assert!(!refused(500, &["Bearer error=\"invalid_token\""]));
        assert!(!refused(401, &["Basic realm=\"gateway\""]));
        assert!(!refused(401, &["ApiKey"]));
        assert!(!refused(401, &["Basic realm=\"the bearer gateway\""]));
        assert!(!refused(401, &["Basic realm=\"a, Bearer b\", charset=\"UTF-8\""]));
        assert!(!refused(401, &["Bearer error = \"insufficient_scope\""]));
        assert!(!refused(401, &["Bearer error=\"invalid_request\""]));
        assert!(!refused(401, &["Bearer error=\"insufficient_scope\", scope=\"vault\""]));
    }
}
