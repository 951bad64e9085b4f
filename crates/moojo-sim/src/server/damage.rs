//! Answers that are not as documented, made from those that are.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::fault::Malformed;
use crate::time::{iso8601, shift};

const HTML: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
    <body><h1>Bad Gateway</h1><p>The upstream server is busy.</p></body></html>\n";

/// Changes the answer as asked. What the fault needs and the answer does not have, such as a
/// token, stays as it is.
pub(super) fn apply(malformed: Malformed, answer: &mut Response<Bytes>, now: DateTime<Utc>) {
    match malformed {
        Malformed::Html => {
            *answer.status_mut() = StatusCode::OK;
            set_content_type(answer, "text/html; charset=utf-8");
            *answer.body_mut() = Bytes::from_static(HTML.as_bytes());
        }
        Malformed::TruncatedJson => {
            let body = answer.body_mut();
            body.truncate(body.len() / 2);
        }
        Malformed::WrongContentType => set_content_type(answer, "text/plain; charset=utf-8"),
        Malformed::EmptyBody => {
            *answer.status_mut() = StatusCode::OK;
            answer.body_mut().clear();
        }
        // The body is replaced where it is sent.
        Malformed::EndlessBody => *answer.status_mut() = StatusCode::OK,
        Malformed::MissingData => edit(answer, |envelope| {
            envelope.remove("data");
        }),
        Malformed::StatusNotSuccess => {
            *answer.status_mut() = StatusCode::OK;
            edit(answer, |envelope| set(envelope, "status", "failure"));
        }
        Malformed::BadToken => edit_issued(answer, |data| {
            set(data, "token", "6c0350a0\r\nx-injected: 1");
        }),
        Malformed::ExpiryInThePast => edit_issued(answer, |data| {
            set(data, EXPIRY, &iso8601(shift(now, TimeDelta::hours(-1))));
        }),
        Malformed::ExpiryWithoutZone => edit_issued(answer, |data| {
            let expiry = data.get(EXPIRY).and_then(Value::as_str).unwrap_or_default();
            let naked = expiry.trim_end_matches('Z').to_owned();
            set(data, EXPIRY, &naked);
        }),
        Malformed::ExpiryAbsent => edit_issued(answer, |data| {
            data.remove(EXPIRY);
        }),
    }
}

/// How an endless answer begins.
pub(super) fn endless_start(trace_id: &str) -> Bytes {
    format!(r#"{{"status":"success","traceId":"{trace_id}","data":{{"filler":""#).into()
}

const EXPIRY: &str = "expiresAtIso8601";

fn set_content_type(answer: &mut Response<Bytes>, value: &'static str) {
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(value));
}

fn set(object: &mut Map<String, Value>, name: &str, value: &str) {
    object.insert(name.to_owned(), Value::from(value));
}

/// Edits the `data` of an answer that issues a token.
fn edit_issued(answer: &mut Response<Bytes>, change: impl FnOnce(&mut Map<String, Value>)) {
    edit(answer, |envelope| {
        let data = envelope.get_mut("data").and_then(Value::as_object_mut);
        if let Some(data) = data.filter(|data| data.contains_key("token")) {
            change(data);
        }
    });
}

fn edit(answer: &mut Response<Bytes>, change: impl FnOnce(&mut Map<String, Value>)) {
    let Ok(Value::Object(mut envelope)) = serde_json::from_slice(answer.body()) else { return };
    change(&mut envelope);
    *answer.body_mut() = Value::Object(envelope).to_string().into();
}
