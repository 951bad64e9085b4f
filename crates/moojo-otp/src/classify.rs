//! What an answer means: all that is assumed of Moojo's undocumented errors.

use std::fmt;
use std::time::Duration;

use crate::answer::Answer;

/// Tells what an answer of Moojo means. Moojo documents no error: when it turns out to do something
/// else than [`DefaultClassifier`] assumes, this is the one place to say so
/// ([`MoojoClientBuilder::classifier`](crate::MoojoClientBuilder::classifier)).
///
/// ```
/// use moojo_otp::{Answer, Classify, DefaultClassifier, Endpoint, Verdict};
///
/// /// Takes 401 for a wrong code where one was sent.
/// #[derive(Debug)]
/// struct Mine;
///
/// impl Classify for Mine {
///     fn classify(&self, answer: &Answer<'_>) -> Verdict {
///         match (answer.endpoint(), answer.status().as_u16()) {
///             (Endpoint::AuthenticateWithCode, 401) => Verdict::Refused,
///             _ => DefaultClassifier.classify(answer),
///         }
///     }
/// }
/// ```
pub trait Classify: fmt::Debug + Send + Sync + 'static {
    /// What `answer` means. It may be anything that came over the network, and must not panic.
    fn classify(&self, answer: &Answer<'_>) -> Verdict;
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Moojo did what it was asked, and the body says what came of it.
    Success,
    /// The API key is not accepted.
    ApiKeyRefused,
    /// Moojo looked at what it was asked and refused it: a wrong code, most often.
    Refused,
    /// Moojo was asked too often and did nothing.
    RateLimited {
        /// After what time it may be asked again.
        retry_after: Option<Duration>,
    },
    /// Moojo failed, perhaps after it did what it was asked.
    ServerError,
    /// None of these. Moojo may have done what it was asked.
    Unexpected,
}

/// What is assumed of Moojo unless you say otherwise. **Every line but the first is a guess**:
///
/// | status | meaning |
/// |---|---|
/// | 2xx | success, if the body says so too |
/// | 401, 403 | the API key is not accepted: nothing else on these endpoints proves who one is |
/// | 429 | asked too often; `Retry-After` in seconds or as a date |
/// | 405 to 408, 411, 413 to 415, 421, 425, 426, 431 | unexpected: they speak of the HTTP request, never of a code |
/// | other 4xx | refused: the code or the JWT when logging in, the number when sending |
/// | 5xx | Moojo failed |
/// | anything else | unexpected |
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultClassifier;

impl Classify for DefaultClassifier {
    fn classify(&self, answer: &Answer<'_>) -> Verdict {
        match answer.status().as_u16() {
            200..=299 => Verdict::Success,
            401 | 403 => Verdict::ApiKeyRefused,
            429 => Verdict::RateLimited { retry_after: answer.retry_after() },
            405..=408 | 411 | 413..=415 | 421 | 425 | 426 | 431 => Verdict::Unexpected,
            400..=499 => Verdict::Refused,
            500..=599 => Verdict::ServerError,
            _ => Verdict::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::answer::Endpoint;

    #[test]
    fn the_table_holds() {
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
        let limited = Verdict::RateLimited { retry_after: Some(Duration::from_secs(7)) };
        for (status, verdict) in [
            (200, Verdict::Success),
            (204, Verdict::Success),
            (302, Verdict::Unexpected),
            (400, Verdict::Refused),
            (401, Verdict::ApiKeyRefused),
            (403, Verdict::ApiKeyRefused),
            (404, Verdict::Refused),
            (408, Verdict::Unexpected),
            (413, Verdict::Unexpected),
            (422, Verdict::Refused),
            (429, limited),
            (500, Verdict::ServerError),
            (599, Verdict::ServerError),
            (999, Verdict::Unexpected),
        ] {
            let answer = Answer {
                endpoint: Endpoint::AuthenticateWithCode,
                status: StatusCode::from_u16(status).unwrap(),
                headers: &headers,
                body: b"",
                json: None,
                received_at: DateTime::UNIX_EPOCH,
            };
            assert_eq!(DefaultClassifier.classify(&answer), verdict, "{status}");
        }
    }
}
