//! An answer of Moojo, as it came and as it may be shown.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

mod reply;

pub use reply::Reply;
pub(crate) use reply::trace_id;

/// A call of Moojo's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/send-verification-code`.
    SendVerificationCode,
    /// `/user/authenticate` with the code of an SMS.
    AuthenticateWithCode,
    /// `/user/authenticate` with a JWT of Firebase.
    AuthenticateWithJwt,
}

impl Endpoint {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::SendVerificationCode => "/send-verification-code",
            Self::AuthenticateWithCode | Self::AuthenticateWithJwt => "/user/authenticate",
        }
    }
}

/// An answer as a [`Classify`](crate::Classify) sees it.
///
/// There is no `Debug`: the body may have a token in it, or a phone number.
#[allow(missing_debug_implementations, reason = "the body is secret")]
pub struct Answer<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) json: Option<&'a Value>,
    pub(crate) received_at: DateTime<Utc>,
}

impl<'a> Answer<'a> {
    /// The longest `Retry-After` that is believed: a day. No mistake of a server locks people out
    /// for a year, and no text of its choice gets into an error as a number (rule 13).
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

    /// Which call it answers.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The body, within the client's limit. It may be anything. Secret.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body as JSON, if it is any. Secret.
    pub fn json(&self) -> Option<&'a Value> {
        self.json
    }

    /// `status` in the envelope.
    pub fn envelope_status(&self) -> Option<&'a str> {
        self.json?.get("status")?.as_str()
    }

    /// The header `Retry-After` ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)),
    /// which is a number of seconds or a date. A date is counted from the answer's own `Date`, so
    /// that the two clocks need not agree; without one, from the local time. A date that has passed
    /// is zero, and more than [`Answer::MAX_RETRY_AFTER`] is that.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than fit are a very long time.
            let seconds = text.parse().unwrap_or(u64::MAX);
            return Some(Duration::from_secs(seconds).min(Self::MAX_RETRY_AFTER));
        }
        let at = http_date(text)?;
        let now = date_header(self.headers, &DATE).unwrap_or(self.received_at);
        Some((at - now).to_std().unwrap_or_default().min(Self::MAX_RETRY_AFTER))
    }
}

/// The time in a header, in any of the three forms of
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7).
pub(crate) fn date_header(headers: &HeaderMap, name: &HeaderName) -> Option<DateTime<Utc>> {
    http_date(headers.get(name)?.to_str().ok()?.trim())
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text).ok().map(DateTime::<Utc>::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(headers: &[(HeaderName, &str)]) -> Option<Duration> {
        let headers = headers.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
        let answer = Answer {
            endpoint: Endpoint::SendVerificationCode,
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: &headers,
            body: b"",
            json: None,
            received_at: "2025-02-16T13:12:52Z".parse().unwrap(),
        };
        answer.retry_after()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |text| retry_after(&[(RETRY_AFTER, text)]);
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999999"), Some(Answer::MAX_RETRY_AFTER));
        assert_eq!(after("Fri, 31 Dec 9999 23:59:59 GMT"), Some(Answer::MAX_RETRY_AFTER));
        assert_eq!(after("Sun, 16 Feb 2025 13:13:52 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sunday, 16-Feb-25 13:13:52 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(after("Sun, 16 Feb 2025 13:00:00 GMT"), Some(Duration::ZERO));
        for bad in ["", "-1", "1.5", "soon", "2025-02-16T13:13:52Z"] {
            assert_eq!(after(bad), None, "{bad}");
        }
        assert_eq!(retry_after(&[]), None);
    }

    #[test]
    fn a_date_counts_from_the_answers_own() {
        let date = "Sun, 16 Feb 2025 20:00:00 GMT";
        let until = "Sun, 16 Feb 2025 20:00:30 GMT";
        let after = retry_after(&[(RETRY_AFTER, until), (DATE, date)]);
        assert_eq!(after, Some(Duration::from_secs(30)));
    }
}
