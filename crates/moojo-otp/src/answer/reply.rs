use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// What may be shown of an answer: its status, its trace id and a few words on its body.
///
/// None of it is the server's own words, for a server may repeat what it was sent: the trace id is
/// taken only if it is a UUID, as documented, and the words are of a list that is known beforehand.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply(Arc<Shown>);

#[derive(PartialEq, Eq)]
struct Shown {
    status: StatusCode,
    trace_id: Option<Box<str>>,
    excerpt: Box<str>,
}

impl Reply {
    pub(crate) fn new(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        json: Option<&Value>,
    ) -> Self {
        let mut excerpt = format!("{} of {} bytes", content_type(headers), body.len());
        if let Some(json) = json {
            excerpt.push_str(" with ");
            outline(json, 0, &mut excerpt);
        }
        let trace_id = json.and_then(trace_id).map(Box::from);
        Self(Arc::new(Shown { status, trace_id, excerpt: excerpt.into() }))
    }

    pub(crate) fn too_large(status: StatusCode, limit: usize) -> Self {
        let excerpt = format!("a body of more than {limit} bytes").into();
        Self(Arc::new(Shown { status, trace_id: None, excerpt }))
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Moojo's trace id, by which its operators find the call.
    pub fn trace_id(&self) -> Option<&str> {
        self.0.trace_id.as_deref()
    }

    /// The kind and the length of the body, and the names of its fields, as far as they are usual
    /// ones.
    pub fn excerpt(&self) -> &str {
        &self.0.excerpt
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the number: the text behind it is of a list too, but there is none for most.
        write!(f, "status {}, ", self.status().as_u16())?;
        if let Some(trace_id) = self.trace_id() {
            write!(f, "trace id {trace_id}, ")?;
        }
        f.write_str(self.excerpt())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status().as_u16())
            .field("trace_id", &self.trace_id())
            .field("excerpt", &self.excerpt())
            .finish()
    }
}

/// `traceId`, if it is a UUID: 8, 4, 4, 4 and 12 hexadecimal digits.
pub(crate) fn trace_id(json: &Value) -> Option<&str> {
    let text = json.get("traceId")?.as_str()?;
    let mut lengths = [8, 4, 4, 4, 12].into_iter();
    let uuid = text.split('-').all(|part| {
        lengths.next() == Some(part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    (uuid && lengths.next().is_none()).then_some(text)
}

fn content_type(headers: &HeaderMap) -> &'static str {
    const KNOWN: [&str; 7] = [
        "application/json",
        "application/problem+json",
        "application/xml",
        "application/octet-stream",
        "text/html",
        "text/plain",
        "text/xml",
    ];
    let Some(value) = headers.get(CONTENT_TYPE) else { return "no content type" };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    let known = KNOWN.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(essence));
    known.unwrap_or("another content type")
}

/// The names that are shown: those that Moojo documents, and those that errors usually have.
const NAMES: [&str; 24] = [
    "status",
    "traceId",
    "data",
    "token",
    "expiresAtIso8601",
    "publicUserId",
    "publicKey",
    "verificationId",
    "error",
    "errors",
    "errorCode",
    "errorMessage",
    "code",
    "message",
    "reason",
    "detail",
    "details",
    "title",
    "type",
    "name",
    "field",
    "path",
    "statusCode",
    "timestamp",
];

/// Objects in objects are shown down to this depth.
const MAX_DEPTH: usize = 2;

fn outline(json: &Value, depth: usize, out: &mut String) {
    let object = match json {
        Value::Object(object) => object,
        Value::Array(_) => return out.push_str("an array"),
        _ => return out.push_str("a single value"),
    };
    out.push('{');
    let mut shown = 0;
    for name in NAMES {
        let Some(value) = object.get(name) else { continue };
        if shown > 0 {
            out.push_str(", ");
        }
        shown += 1;
        out.push_str(name);
        if depth < MAX_DEPTH && value.is_object() {
            out.push(' ');
            outline(value, depth + 1, out);
        }
    }
    match object.len() - shown {
        0 => {}
        others if shown == 0 => out.push_str(&format!("{others} others")),
        others => out.push_str(&format!(", {others} others")),
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(content_type: &'static str, json: Value) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Reply::new(StatusCode::BAD_REQUEST, &headers, json.to_string().as_bytes(), Some(&json))
    }

    #[test]
    fn what_is_shown_helps() {
        let shown = reply(
            "application/json; charset=utf-8",
            json!({
                "status": "error",
                "traceId": "ce194afc-fe80-4cf9-a174-3e3256760ec8",
                "error": { "code": "verificationCodeWrong", "message": "no", "hint": 1 },
            }),
        );
        assert_eq!(
            shown.to_string(),
            "status 400, trace id ce194afc-fe80-4cf9-a174-3e3256760ec8, application/json of 132 \
             bytes with {status, traceId, error {code, message, 1 others}}"
        );
    }

    #[test]
    fn rule_13_nothing_of_the_servers_own_words_is_shown() {
        let shown = reply(
            "application/planted",
            json!({ "planted": 1, "traceId": "planted", "message": "planted", "a": ["planted"] }),
        );
        assert_eq!(
            shown.to_string(),
            "status 400, another content type of 69 bytes with {traceId, message, 2 others}"
        );
        assert!(!format!("{shown:?}").contains("planted"));
    }

    #[test]
    fn rule_13_a_trace_id_is_a_uuid() {
        for bad in [
            "+15559876543",
            "133575",
            "6c0350a00925b9bbd3408a4e382c2790aa92accff189e7735fdf2a3d4dc67b08",
            "ce194afc-fe80-4cf9-a174-3e3256760ec8-1",
            "ce194afc-fe80-4cf9-a174",
            "ce194afcfe804cf9a1743e3256760ec8",
            "ge194afc-fe80-4cf9-a174-3e3256760ec8",
        ] {
            assert_eq!(trace_id(&json!({ "traceId": bad })), None, "{bad}");
        }
        assert_eq!(trace_id(&json!(["traceId"])), None);
    }
}
