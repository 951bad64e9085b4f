//! What the examples share: a plain HTTP client, how they begin and end, and how they print.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use moojo_session::Session;

mod start;

pub use start::{Arguments, BoxError, exit_code, start};

/// The snippets of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/scaling.md")]
struct ScalingGuide;

/// A request's body.
pub type Body = Full<Bytes>;

/// The client of hyper-util, over plain TCP, for the simulator on this machine.
pub type HttpClient = Client<HttpConnector, Body>;

/// Makes an [`HttpClient`].
pub fn http_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// A session's token as it may be shown: its last four characters.
pub fn masked(session: &Session) -> String {
    let token = session.access_token();
    let token = token.expose_secret();
    let tail = token.char_indices().rev().nth(3).map_or("", |(at, _)| &token[at..]);
    format!("••••{tail}")
}
