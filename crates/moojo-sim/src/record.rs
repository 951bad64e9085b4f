use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::api::API_KEY;

/// A request that the simulator received, for tests to inspect.
///
/// `Debug` masks the `Authorization` and `x-api-key` headers and the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// What followed the `?`, if there was one.
    pub query: Option<String>,
    /// All headers as they came.
    pub headers: HeaderMap,
    /// The body; empty if it was refused for its size or never came whole.
    pub body: Bytes,
    /// When it came, on the simulator's clock.
    pub at: DateTime<Utc>,
    /// The number of the connection it came on, counted from 1.
    pub connection: u64,
    /// The trace id of its answer.
    pub trace_id: String,
    /// The status of the answer; none if there was no answer (yet).
    pub status: Option<StatusCode>,
    /// The `publicUserId` of the user whose token the work was done with, or who logged in.
    pub user: Option<String>,
}

impl RecordedRequest {
    /// The token of the `Authorization` header, if it is a bearer one.
    pub fn bearer(&self) -> Option<&str> {
        bearer(&self.headers)
    }

    /// The body, if it is JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &self.query.as_ref().map(|_| Masked))
            .field("headers", &masked_headers(&self.headers))
            .field("body_len", &self.body.len())
            .field("at", &self.at)
            .field("connection", &self.connection)
            .field("trace_id", &self.trace_id)
            .field("status", &self.status)
            .field("user", &self.user)
            .finish()
    }
}

/// The token of a bearer `Authorization` header; none if there are several such headers.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    // RFC 9110 §11.1: the scheme is case-insensitive.
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The headers as they may be shown.
pub(crate) fn masked_headers(headers: &HeaderMap) -> HeaderMap {
    let mut shown = headers.clone();
    for (name, value) in &mut shown {
        if *name == AUTHORIZATION || *name == API_KEY {
            *value = HeaderValue::from_static("masked");
        }
    }
    shown
}

struct Masked;

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("masked")
    }
}

/// The latest requests.
pub(crate) struct Recorder {
    kept: Mutex<Kept>,
    /// How many came since the start or the last clearing.
    count: watch::Sender<usize>,
    limit: usize,
}

struct Kept {
    requests: VecDeque<RecordedRequest>,
    /// The number of the first one of `requests`.
    first: u64,
}

/// Names a request that was recorded.
#[derive(Clone, Copy)]
pub(crate) struct RecordId(u64);

impl Recorder {
    pub(crate) fn new(limit: usize) -> Self {
        let kept = Kept { requests: VecDeque::new(), first: 0 };
        Self { kept: Mutex::new(kept), count: watch::Sender::new(0), limit }
    }

    pub(crate) fn add(&self, request: RecordedRequest) -> RecordId {
        let mut kept = self.kept.lock();
        let id = RecordId(kept.first + kept.requests.len() as u64);
        kept.requests.push_back(request);
        while kept.requests.len() > self.limit {
            kept.requests.pop_front();
            kept.first += 1;
        }
        // Under the lock, so that who sees the count also finds the request.
        self.count.send_modify(|count| *count += 1);
        id
    }

    /// Does nothing if the request is no longer kept.
    pub(crate) fn answered(&self, id: RecordId, status: StatusCode) {
        self.change(id, |request| request.status = Some(status));
    }

    pub(crate) fn served(&self, id: RecordId, user: Option<String>) {
        self.change(id, |request| request.user = user);
    }

    pub(crate) fn all(&self) -> Vec<RecordedRequest> {
        self.kept.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.kept.lock();
        kept.first += kept.requests.len() as u64;
        kept.requests.clear();
        self.count.send_replace(0);
    }

    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn change(&self, id: RecordId, change: impl FnOnce(&mut RecordedRequest)) {
        let mut kept = self.kept.lock();
        let index = id.0.checked_sub(kept.first).and_then(|index| usize::try_from(index).ok());
        if let Some(request) = index.and_then(|index| kept.requests.get_mut(index)) {
            change(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> RecordedRequest {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer s3cret-token"));
        headers.insert(API_KEY, HeaderValue::from_static("s3cret-key"));
        RecordedRequest {
            method: Method::POST,
            path: path.to_owned(),
            query: Some("q=s3cret".to_owned()),
            headers,
            body: Bytes::from_static(b"s3cret-body"),
            at: DateTime::UNIX_EPOCH,
            connection: 1,
            trace_id: String::new(),
            status: None,
            user: None,
        }
    }

    #[test]
    fn rule_13_debug_masks_headers_query_and_body() {
        let shown = format!("{:?}", request("/a"));
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn the_oldest_go_first_and_a_late_answer_to_one_of_them_is_dropped() {
        let recorder = Recorder::new(2);
        let first = recorder.add(request("/1"));
        let second = recorder.add(request("/2"));
        recorder.add(request("/3"));
        recorder.answered(first, StatusCode::OK);
        recorder.answered(second, StatusCode::CREATED);
        let kept = recorder.all();
        assert_eq!(kept.iter().map(|kept| kept.path.as_str()).collect::<Vec<_>>(), ["/2", "/3"]);
        assert_eq!(kept[0].status, Some(StatusCode::CREATED));
        assert_eq!(kept[1].status, None);
        assert_eq!(*recorder.count().borrow(), 3);
    }

    #[test]
    fn an_answer_after_a_clearing_changes_no_other_request() {
        let recorder = Recorder::new(10);
        let old = recorder.add(request("/old"));
        recorder.clear();
        recorder.add(request("/new"));
        recorder.answered(old, StatusCode::OK);
        assert_eq!(recorder.all()[0].status, None);
        assert_eq!(*recorder.count().borrow(), 1);
    }

    #[test]
    fn two_authorization_headers_are_no_token() {
        let mut headers = request("/a").headers;
        assert_eq!(bearer(&headers), Some("s3cret-token"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer other"));
        assert_eq!(bearer(&headers), None);
    }
}
