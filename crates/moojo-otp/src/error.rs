//! What can go wrong with a client and with a call of it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use moojo_session::{InvalidSecret, Origin};

use crate::answer::Reply;
use crate::transport::TransportError;

/// Why a call of Moojo failed. Clones share what they have in common.
///
/// It shows no token, code, key, JWT or phone number, whatever Moojo has answered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MoojoError {
    /// Moojo certainly received nothing. Calling again does no harm.
    #[error("Moojo could not be reached: nothing was sent, in {attempts} attempts")]
    NotSent {
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        #[source]
        source: TransportError,
    },

    /// The request went out, or may have, and there was no complete answer within the time limit.
    /// Moojo may have done what it was asked, or may yet do it. It is not asked again by itself.
    #[error("Moojo gave no complete answer: it may have done what it was asked or not")]
    OutcomeUnknown {
        /// What happened.
        #[source]
        source: TransportError,
    },

    /// Moojo refused the API key. It is the caller's own, no matter of the user.
    #[error("Moojo refused the api key: {reply}")]
    ApiKeyRefused {
        /// The answer.
        reply: Reply,
    },

    /// Moojo refused what was asked: the code is wrong or no longer good, the JWT is not accepted,
    /// the number gets no SMS.
    #[error("Moojo refused: {reply}")]
    Refused {
        /// The answer.
        reply: Reply,
    },

    /// Moojo was asked too often.
    #[error("Moojo was asked too often: {reply}")]
    RateLimited {
        /// After what time it may be asked again, if it says so (`Retry-After`).
        retry_after: Option<Duration>,
        /// The answer.
        reply: Reply,
    },

    /// Moojo failed. It may have done what it was asked.
    #[error("Moojo failed: {reply}")]
    Server {
        /// The answer.
        reply: Reply,
    },

    /// There is an answer, but not one as documented. Moojo may have done what it was asked.
    #[error("{what}: {reply}")]
    Malformed {
        /// What is wrong with it.
        what: Malformation,
        /// The answer.
        reply: Reply,
    },
}

/// What an undocumented answer lacks or has too much of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformation {
    /// A status that is neither a success nor an error: a redirect, which is not followed.
    #[error("Moojo answered with an unexpected status")]
    UnexpectedStatus,
    /// The body is declared as something else than JSON.
    #[error("Moojo's answer is no JSON by its content type")]
    WrongContentType,
    /// The body is no JSON, or breaks off.
    #[error("Moojo's answer is no JSON from line {line}, column {column} on")]
    NotJson {
        /// Where the fault is, counted from 1.
        line: usize,
        /// Where it is in the line.
        column: usize,
    },
    /// The body has more bytes than the client
    /// [reads](crate::MoojoClientBuilder::max_body_bytes).
    #[error("Moojo's answer is longer than {limit} bytes")]
    BodyTooLarge {
        /// How many it reads.
        limit: usize,
    },
    /// `status` in the body is not `success`, though the HTTP status says so.
    #[error("Moojo's answer does not say that it is a success")]
    NotSuccess,
    /// A field is missing, or of another type than documented.
    #[error("Moojo's answer has no {field} as documented")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// The token cannot stand in an `Authorization` header.
    #[error("Moojo's answer has a token that cannot be sent")]
    UnusableToken(#[source] InvalidSecret),
    /// `expiresAtIso8601` is no time, or one that cannot be reckoned with.
    #[error("Moojo's answer has an expiresAtIso8601 that is no time")]
    BadExpiry,
    /// `expiresAtIso8601` does not say in which zone it is.
    #[error("Moojo's answer has an expiresAtIso8601 without its zone")]
    ExpiryWithoutZone,
    /// The token had ended before it arrived.
    #[error("Moojo's answer has a token that has already ended")]
    AlreadyExpired,
}

impl MoojoError {
    /// The answer, where there was one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::NotSent { .. } | Self::OutcomeUnknown { .. } => None,
            Self::ApiKeyRefused { reply }
            | Self::Refused { reply }
            | Self::RateLimited { reply, .. }
            | Self::Server { reply }
            | Self::Malformed { reply, .. } => Some(reply),
        }
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.reply().map(Reply::status)
    }

    /// Moojo's trace id, where there was an answer with one.
    pub fn trace_id(&self) -> Option<&str> {
        self.reply().and_then(Reply::trace_id)
    }

    /// Whether Moojo may have done what it was asked all the same, such as send an SMS.
    pub fn may_have_worked(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::Server { .. } | Self::Malformed { .. })
    }
}

/// Why there is no client of Moojo's API.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The base URL is not of the form `https://host`, `https://host:port` or either with a path.
    #[error(
        "the base URL of Moojo has the form https://host:port/path, without name and query, \
         not {url:?}"
    )]
    BaseUrl {
        /// The text, as [`redacted_url`](moojo_session::redacted_url) shows it.
        url: String,
    },
    /// The base URL is `http` to another machine, where everyone on the way can read all.
    #[error("{origin} is not encrypted: use https, a loopback address, or allow_insecure_base_url")]
    InsecureBaseUrl {
        /// Its origin.
        origin: Origin,
    },
    /// The user agent cannot stand in a header.
    #[error("the user agent cannot be sent in a header")]
    UserAgent,
    /// The proxy is no URL of a proxy.
    #[error("the proxy has the form http://host:port")]
    Proxy,
    /// There is no certificate in the PEM text, or no TLS to use it for (feature `rustls`).
    #[error("a root certificate is no certificate in PEM")]
    RootCertificate,
    /// No [transport](crate::MoojoClientBuilder::transport) was given, and there is no default one
    /// without the feature `reqwest`.
    #[error("there is no transport: give the client one, or turn the feature `reqwest` on")]
    NoTransport,
    /// The HTTP client could not be made: most often, a machine without any CA certificates.
    #[error("the HTTP client could not be made")]
    Transport {
        /// What it says.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

#[cfg(feature = "reqwest")]
impl ConfigError {
    pub(crate) fn transport(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Transport { source: Arc::new(error) }
    }
}
