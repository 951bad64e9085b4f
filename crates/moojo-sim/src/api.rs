//! Moojo's HTTP API: which path does what, and in which words.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, HeaderName};

use crate::moojo::{Moojo, Refusal};

mod answer;
mod auth;
mod otp;
mod vault;

pub(crate) use answer::{AnsweredFor, refusal};
use answer::{Success, respond};

/// Documented: every call carries it.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Ours, not Moojo's: says in the answer whose token the work was done with.
pub(crate) const SIM_USER: HeaderName = HeaderName::from_static("x-sim-user");

/// A request whose body has come, as the handlers see it.
pub(crate) struct Call {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trace_id: String,
    /// How far the server's idea of the time is off for this call.
    pub(crate) skew: TimeDelta,
}

/// Documented: the four paths, all of them `POST`. Their answers to anything else are assumption.
pub(crate) fn router(moojo: Arc<Moojo>) -> Router {
    Router::new()
        .route("/send-verification-code", post(send_code))
        .route("/user/authenticate", post(authenticate))
        .route("/user/vault/list-credentials", post(list_credentials))
        .route("/user/vault/compute-fit-score", post(compute_fit_score))
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(moojo)
}

type Moojos = State<Arc<Moojo>>;
type Calls = Extension<Arc<Call>>;

async fn send_code(State(moojo): Moojos, Extension(call): Calls) -> Response {
    respond(&moojo, &call, otp::send_code(&moojo, &call))
}

async fn authenticate(State(moojo): Moojos, Extension(call): Calls) -> Response {
    respond(&moojo, &call, otp::authenticate(&moojo, &call))
}

async fn list_credentials(State(moojo): Moojos, Extension(call): Calls) -> Response {
    respond(&moojo, &call, vault::list_credentials(&moojo, &call))
}

async fn compute_fit_score(State(moojo): Moojos, Extension(call): Calls) -> Response {
    respond(&moojo, &call, vault::compute_fit_score(&moojo, &call))
}

async fn no_such_path(State(moojo): Moojos, Extension(call): Calls) -> Response {
    refusal(&moojo, &call.trace_id, Refusal::NoSuchPath)
}

async fn wrong_method(State(moojo): Moojos, Extension(call): Calls) -> Response {
    refusal(&moojo, &call.trace_id, Refusal::WrongMethod)
}
