//! The envelope of every answer.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::{Call, SIM_USER};
use crate::moojo::{Moojo, Refusal};

/// Work that was done: its `data`, and for whom.
pub(super) struct Success<T> {
    pub(super) data: T,
    pub(super) user: Option<String>,
}

/// In an answer's extensions: the `publicUserId` of whom the work was done for.
#[derive(Clone)]
pub(crate) struct AnsweredFor(pub(crate) String);

/// Documented: `status`, `traceId` and `data`, in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    status: &'static str,
    trace_id: &'a str,
    data: T,
}

/// Assumption: an error keeps the envelope and has `error` in place of `data`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorEnvelope<'a> {
    status: &'static str,
    trace_id: &'a str,
    error: ErrorBody,
}

#[derive(Serialize)]
struct ErrorBody {
    code: &'static str,
    message: &'static str,
}

pub(super) fn respond<T: Serialize>(
    moojo: &Moojo,
    call: &Call,
    result: Result<Success<T>, Refusal>,
) -> Response {
    let Success { data, user } = match result {
        Ok(success) => success,
        Err(refused) => return refusal(moojo, &call.trace_id, refused),
    };
    let envelope = Envelope { status: "success", trace_id: &call.trace_id, data };
    let mut response = json(StatusCode::OK, &envelope);
    if let Some(user) = user {
        if let Ok(value) = HeaderValue::from_str(&user) {
            response.headers_mut().insert(SIM_USER, value);
        }
        response.extensions_mut().insert(AnsweredFor(user));
    }
    response
}

/// The answer to what is refused.
pub(crate) fn refusal(moojo: &Moojo, trace_id: &str, refusal: Refusal) -> Response {
    let error = ErrorBody { code: refusal.code(), message: refusal.message() };
    let envelope = ErrorEnvelope { status: "error", trace_id, error };
    let mut response = json(refusal.status(&moojo.settings), &envelope);
    // Assumption: RFC 6750 §3 is followed where a token is missing or refused.
    let challenge = match refusal {
        Refusal::MissingToken => Some("Bearer"),
        Refusal::BadToken => Some("Bearer error=\"invalid_token\""),
        _ => None,
    };
    if let Some(challenge) = challenge {
        let challenge = HeaderValue::from_static(challenge);
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Serializing plain structs with string keys does not fail; were it to, the body is empty.
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
