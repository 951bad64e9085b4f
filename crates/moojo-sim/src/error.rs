use std::io;
use std::net::SocketAddr;

use http::StatusCode;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The address could not be listened on: taken, not of this machine, or not allowed.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The api key is empty or has characters that no HTTP header can carry.
    #[error("the api key cannot be sent in a header")]
    ApiKey,
    /// A status that was set for refusals is neither 4xx nor 5xx.
    #[error("a refusal cannot be answered with status {0}")]
    Status(StatusCode),
}
