//! The simulator's own pages, under `/` and `/sim/`. Nothing of this is Moojo's.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::record::{RecordedRequest, masked_headers};
use crate::server::Shared;
use crate::sms::SmsMessage;
use crate::time::iso8601;

mod faults;
mod phone;

/// Whether a path is the simulator's own.
pub(crate) fn owns(path: &str) -> bool {
    path == "/" || path == "/sim" || path.starts_with("/sim/")
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/", get(phone_page))
        .route("/sim/phone", get(phone_page))
        .route("/sim/inbox", get(inbox))
        .route("/sim/requests", get(requests))
        .route("/sim/revoke", post(revoke));
    if shared.moojo.settings.fault_control {
        router = router.route("/sim/faults", post(inject).delete(clear_faults));
    }
    router
        .fallback(async || error(StatusCode::NOT_FOUND, "there is no such page"))
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "the page does not know this method")
        })
        .with_state(shared)
}

/// `?phone=`: one number only. The `+` of a number, which a query reads as a space, may be left
/// as it is: numbers are compared by their digits.
#[derive(Deserialize)]
struct Filter {
    phone: Option<String>,
}

impl Filter {
    fn phone(&self) -> Option<&str> {
        self.phone.as_deref().filter(|phone| !phone.trim().is_empty())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownMessage {
    to: String,
    code: String,
    text: String,
    at: String,
    verification_id: String,
}

impl From<SmsMessage> for ShownMessage {
    fn from(message: SmsMessage) -> Self {
        let SmsMessage { to, code, text, at, verification_id } = message;
        Self { to, code, text, at: iso8601(at), verification_id }
    }
}

async fn phone_page(State(shared): State<Arc<Shared>>, filter: Query<Filter>) -> Response {
    let messages = shared.moojo.inbox(None);
    phone::page(&messages, filter.phone(), shared.moojo.clock.now(), &shared.moojo.trace_id())
}

async fn inbox(State(shared): State<Arc<Shared>>, filter: Query<Filter>) -> Response {
    let messages = shared.moojo.inbox(filter.phone());
    let messages: Vec<_> = messages.into_iter().map(ShownMessage::from).collect();
    answer(StatusCode::OK, &json!({ "messages": messages }))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    let requests: Vec<_> = shared.recorder.all().iter().map(shown_request).collect();
    answer(StatusCode::OK, &json!({ "requests": requests }))
}

/// Without the body, which has codes and numbers in it, and with masked keys and tokens.
fn shown_request(request: &RecordedRequest) -> Value {
    let headers = masked_headers(&request.headers);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| [name.as_str().into(), String::from_utf8_lossy(value.as_bytes())])
        .collect();
    json!({
        "at": iso8601(request.at),
        "method": request.method.as_str(),
        "path": request.path,
        "status": request.status.map(|status| status.as_u16()),
        "traceId": request.trace_id,
        "user": request.user,
        "connection": request.connection,
        "headers": headers,
        "bodyLength": request.body.len(),
    })
}

/// `{"token":"…"}` or `{"phone":"…"}`.
#[derive(Deserialize)]
struct Revocation {
    token: Option<String>,
    phone: Option<String>,
}

async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Revocation = match parse(&headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let revoked = match (asked.token, asked.phone) {
        (Some(token), None) => usize::from(shared.moojo.revoke_token(&token)),
        (None, Some(phone)) => shared.moojo.revoke_user(&phone),
        _ => return error(StatusCode::BAD_REQUEST, "either `token` or `phone` is needed"),
    };
    answer(StatusCode::OK, &json!({ "revoked": revoked }))
}

async fn inject(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: faults::AskedFault = match parse(&headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    shared.faults.inject(asked.into());
    StatusCode::NO_CONTENT.into_response()
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    shared.faults.clear();
    StatusCode::NO_CONTENT.into_response()
}

/// The content type is insisted on: no form of a page elsewhere can send it to a simulator on the
/// reader's machine.
fn parse<'a, T: Deserialize<'a>>(headers: &HeaderMap, body: &'a [u8]) -> Result<T, NotUnderstood> {
    let json = headers.get(CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().to_ascii_lowercase().starts_with(b"application/json")
    });
    if !json {
        return Err(NotUnderstood::NotJson);
    }
    serde_json::from_slice(body).map_err(NotUnderstood::Json)
}

/// Why the body of a request to the simulator itself was not taken.
enum NotUnderstood {
    NotJson,
    Json(serde_json::Error),
}

impl IntoResponse for NotUnderstood {
    fn into_response(self) -> Response {
        match self {
            Self::NotJson => {
                let message = "the body must be sent as application/json";
                error(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
            }
            Self::Json(problem) => error(StatusCode::BAD_REQUEST, &problem.to_string()),
        }
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    answer(status, &json!({ "error": message }))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], body.to_string()).into_response()
}
