//! How a request gets to Moojo: the trait, its errors, and the default on reqwest.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};

#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(feature = "reqwest")]
pub(crate) use reqwest::{ReqwestTransport, Settings};

/// Sends one HTTP request and reads the answer whole.
///
/// The default is reqwest, with the feature of that name. Implement it for another HTTP stack, or for a fake in tests:
///
/// ```
/// use bytes::Bytes;
/// use moojo_otp::{MoojoClient, Transport, TransportError};
/// use moojo_session::{ApiKey, async_trait};
///
/// #[derive(Debug)]
/// struct Fake;
///
/// #[async_trait]
/// impl Transport for Fake {
///     async fn send(
///         &self,
///         request: http::Request<Bytes>,
///         _max_body_bytes: usize,
///     ) -> Result<http::Response<Bytes>, TransportError> {
///         assert_eq!(request.uri(), "https://api.moojo.id/send-verification-code");
///         let body = r#"{"status":"success","traceId":"40a906a6-6b44-481a-98ca-a73655fee0e2"}"#;
///         Ok(http::Response::new(Bytes::from(body)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let moojo = MoojoClient::builder(ApiKey::new("my-key")?).transport(Fake).build()?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` once and reads an answer of at most `max_body_bytes`.
    ///
    /// It follows no redirect and repeats nothing. How long it may take is the caller's business,
    /// who drops the future: that must close the connection or leave it fit for the next request.
    ///
    /// # Errors
    /// [`TransportError::NotSent`] only if it is certain that the server got no part of the
    /// request: who makes a request again because of that must not send a second SMS. Sources are
    /// logged, so nothing of the request may be in them.
    async fn send(
        &self,
        request: Request<Bytes>,
        max_body_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError>;
}

/// Why a [`Transport`] has no answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TransportError {
    /// Certainly no byte of the request went out: the name was not found, the connection refused,
    /// the TLS handshake failed.
    NotSent {
        /// What happened.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Anything else: the request may have been received and carried out.
    Unknown {
        /// What happened.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The answer is longer than was allowed.
    BodyTooLarge {
        /// The bytes that were allowed.
        limit: usize,
        /// The status of the answer.
        status: StatusCode,
    },
}

impl TransportError {
    /// [`TransportError::NotSent`].
    pub fn not_sent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::NotSent { source: source.into().into() }
    }

    /// [`TransportError::Unknown`].
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unknown { source: source.into().into() }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent { .. } => f.write_str("the request was not sent"),
            Self::Unknown { .. } => f.write_str("there was no complete answer"),
            Self::BodyTooLarge { limit, status } => {
                write!(f, "the answer with status {status} is longer than {limit} bytes")
            }
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotSent { source } | Self::Unknown { source } => Some(&**source),
            Self::BodyTooLarge { .. } => None,
        }
    }
}
