//! One call: sent, sent again where that is certain to do no harm, and judged.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Response};
use moojo_session::Chain;
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use super::Inner;
use crate::answer::{Answer, Endpoint, Reply};
use crate::classify::Verdict;
use crate::error::{Malformation, MoojoError};
use crate::transport::TransportError;

/// An answer that is a success by its status and by its envelope.
pub(super) struct Success {
    pub(super) json: Value,
    pub(super) headers: HeaderMap,
    pub(super) reply: Reply,
    /// When the attempt that got it was begun.
    pub(super) sent_at: DateTime<Utc>,
}

impl Success {
    pub(super) fn malformed(&self, what: Malformation) -> MoojoError {
        MoojoError::Malformed { what, reply: self.reply.clone() }
    }
}

/// The call's time is over.
#[derive(Debug, thiserror::Error)]
#[error("the call took longer than {0:?}")]
struct TimedOut(Duration);

/// Too many calls were before this one.
#[derive(Debug, thiserror::Error)]
#[error("too many calls of Moojo are in flight")]
struct TooMany;

impl Inner {
    pub(super) async fn call(
        &self,
        endpoint: Endpoint,
        body: Bytes,
    ) -> Result<Success, MoojoError> {
        let result = match self.send(endpoint, body).await {
            Ok((answer, sent_at)) => self.judge(endpoint, answer, sent_at),
            Err(error) => Err(error),
        };
        match &result {
            Ok(success) => {
                tracing::debug!(?endpoint, trace_id = success.reply.trace_id(), "Moojo did it");
            }
            Err(error) => {
                tracing::debug!(?endpoint, error = %Chain(error), "the call of Moojo failed");
            }
        }
        result
    }

    async fn send(
        &self,
        endpoint: Endpoint,
        body: Bytes,
    ) -> Result<(Response<Bytes>, DateTime<Utc>), MoojoError> {
        let ends = self.clock.monotonic().saturating_add(self.timeout);
        let _turn = self.turn().await?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let sent_at = self.clock.now();
            let left = ends.saturating_sub(self.clock.monotonic());
            let send =
                self.transport.send(self.request(endpoint, body.clone()), self.max_body_bytes);
            let outcome = tokio::select! {
                biased;
                outcome = send => outcome,
                () = self.clock.sleep(left) => {
                    Err(TransportError::unknown(TimedOut(self.timeout)))
                }
            };
            let source = match outcome {
                Ok(answer) => return Ok((answer, sent_at)),
                Err(TransportError::BodyTooLarge { limit, status }) => {
                    let reply = Reply::too_large(status, limit);
                    let what = Malformation::BodyTooLarge { limit };
                    return Err(MoojoError::Malformed { what, reply });
                }
                Err(source @ TransportError::Unknown { .. }) => {
                    return Err(MoojoError::OutcomeUnknown { source });
                }
                Err(source @ TransportError::NotSent { .. }) => source,
            };
            let pause = pause(attempts);
            let left = ends.saturating_sub(self.clock.monotonic());
            if attempts > self.retries || left <= pause {
                return Err(MoojoError::NotSent { attempts, source });
            }
            tracing::debug!(?endpoint, attempts, "Moojo could not be reached, trying again");
            self.clock.sleep(pause).await;
        }
    }

    /// Waits until fewer calls are in flight than may be.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, MoojoError> {
        tokio::select! {
            biased;
            turn = self.in_flight.acquire() => Ok(turn.expect("it is never closed")),
            () = self.clock.sleep(self.timeout) => {
                Err(MoojoError::NotSent { attempts: 0, source: TransportError::not_sent(TooMany) })
            }
        }
    }

    fn judge(
        &self,
        endpoint: Endpoint,
        answer: Response<Bytes>,
        sent_at: DateTime<Utc>,
    ) -> Result<Success, MoojoError> {
        let (head, body) = answer.into_parts();
        // A transport of the caller's own may not have kept the limit.
        if body.len() > self.max_body_bytes {
            let limit = self.max_body_bytes;
            let reply = Reply::too_large(head.status, limit);
            return Err(MoojoError::Malformed {
                what: Malformation::BodyTooLarge { limit },
                reply,
            });
        }
        let parsed = serde_json::from_slice::<Value>(&body);
        let json = parsed.as_ref().ok();
        let reply = Reply::new(head.status, &head.headers, &body, json);
        let answer = Answer {
            endpoint,
            status: head.status,
            headers: &head.headers,
            body: &body,
            json,
            received_at: self.clock.now(),
        };
        let what = match self.classifier.classify(&answer) {
            Verdict::ApiKeyRefused => return Err(MoojoError::ApiKeyRefused { reply }),
            Verdict::Refused => return Err(MoojoError::Refused { reply }),
            Verdict::ServerError => return Err(MoojoError::Server { reply }),
            Verdict::RateLimited { retry_after } => {
                return Err(MoojoError::RateLimited { retry_after, reply });
            }
            Verdict::Unexpected => Malformation::UnexpectedStatus,
            Verdict::Success if declared_otherwise(&head.headers) => Malformation::WrongContentType,
            Verdict::Success => match parsed {
                Ok(json) if json.get("status").and_then(Value::as_str) == Some("success") => {
                    return Ok(Success { json, headers: head.headers, reply, sent_at });
                }
                Ok(_) => Malformation::NotSuccess,
                // Not the error itself: it quotes what it could not read.
                Err(error) => Malformation::NotJson { line: error.line(), column: error.column() },
            },
        };
        Err(MoojoError::Malformed { what, reply })
    }
}

/// How long to wait before attempt `attempts + 1`.
fn pause(attempts: u32) -> Duration {
    Duration::from_millis(100 << attempts.min(6))
}

/// Whether the body is declared as something else than JSON. One without a declaration is read.
fn declared_otherwise(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    // RFC 6839: a type that is JSON says so after a plus.
    !(essence == b"application/json"
        || (essence.starts_with(b"application/") && essence.ends_with(b"+json")))
}
