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

fn is_about_token(challenge: &HeaderValue) -> bool {
    let challenge = String::from_utf8_lossy(challenge.as_bytes()).to_ascii_lowercase();
    // One header may hold several challenges, separated like their parameters by commas.
    let Some(bearer) = challenge
        .match_indices("bearer")
        .map(|(at, _)| &challenge[at..])
        .find(|rest| matches!(rest.as_bytes().get("bearer".len()), None | Some(b' ' | b',')))
    else {
        return false;
    };
    let error = bearer.split(',').find_map(|part| {
        let part = part.trim().trim_start_matches("bearer").trim_start();
        part.strip_prefix("error=")
    });
    error.is_none_or(|error| error.trim_matches('"') == "invalid_token")
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
        assert!(!refused(401, &["Bearer error=\"invalid_request\""]));
        assert!(!refused(401, &["Bearer error=\"insufficient_scope\", scope=\"vault\""]));
    }
}
