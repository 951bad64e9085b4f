//! One request and its answer, with what goes wrong on the way.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use chrono::TimeDelta;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::body::AnswerBody;
use super::cut::CutSwitch;
use super::{Routers, Shared, damage};
use crate::api::{AnsweredFor, Call, refusal};
use crate::control;
use crate::fault::{Delay, FaultKind, Malformed};
use crate::moojo::Refusal;
use crate::record::{RecordId, RecordedRequest};
use crate::time::{http_date, shift};

/// The largest request body that is read, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

pub(super) async fn answer(
    shared: Arc<Shared>,
    routers: Routers,
    switch: Arc<CutSwitch>,
    connection: u64,
    request: Request<Incoming>,
) -> Result<http::Response<AnswerBody>, Infallible> {
    let exchange = Exchange { shared, routers, switch, connection };
    Ok(if control::owns(request.uri().path()) {
        exchange.control(request).await
    } else {
        exchange.api(request).await
    })
}

struct Exchange {
    shared: Arc<Shared>,
    routers: Routers,
    switch: Arc<CutSwitch>,
    connection: u64,
}

impl Exchange {
    /// A request to the simulator itself: no record, no faults.
    async fn control(&self, request: Request<Incoming>) -> http::Response<AnswerBody> {
        let (parts, body) = request.into_parts();
        let response = match read(body).await {
            Ok(body) => {
                let request = Request::from_parts(parts, Body::from(body));
                run(&self.routers.control, request).await
            }
            Err(refused) => refusal(&self.shared.moojo, &self.shared.moojo.trace_id(), refused),
        };
        self.whole(response, TimeDelta::zero()).await
    }

    /// A request to Moojo.
    async fn api(&self, request: Request<Incoming>) -> http::Response<AnswerBody> {
        let moojo = &self.shared.moojo;
        let (parts, body) = request.into_parts();
        let body = read(body).await;
        let trace_id = moojo.trace_id();
        let record = self.record(&parts, body.as_ref().ok(), &trace_id);
        let body = match body {
            Ok(body) => body,
            Err(refused) => {
                let response = refusal(moojo, &trace_id, refused);
                self.shared.recorder.answered(record, response.status());
                return self.whole(response, TimeDelta::zero()).await;
            }
        };
        let plan = self.shared.faults.plan(parts.uri.path());
        match &plan.delay {
            Some(Delay::Before(time)) => moojo.clock.sleep(*time).await,
            Some(Delay::Until(fault)) => fault.removed().await,
            Some(Delay::After(_)) | None => {}
        }
        let response = match self.instead(plan.outcome.as_ref(), &trace_id).await {
            Some(response) => response,
            None => {
                let headers = parts.headers.clone();
                let mut request = Request::from_parts(parts, Body::empty());
                let call = Call { headers, body, trace_id: trace_id.clone(), skew: plan.skew };
                request.extensions_mut().insert(Arc::new(call));
                run(&self.routers.api, request).await
            }
        };
        let user = response.extensions().get::<AnsweredFor>().map(|user| user.0.clone());
        self.shared.recorder.served(record, user);
        if let Some(Delay::After(time)) = plan.delay {
            moojo.clock.sleep(time).await;
        }
        self.send(response, plan.outcome, plan.skew, record, &trace_id).await
    }

    fn record(
        &self,
        parts: &http::request::Parts,
        body: Option<&Bytes>,
        trace_id: &str,
    ) -> RecordId {
        self.shared.recorder.add(RecordedRequest {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers.clone(),
            body: body.cloned().unwrap_or_default(),
            at: self.shared.moojo.clock.now(),
            connection: self.connection,
            trace_id: trace_id.to_owned(),
            status: None,
            user: None,
        })
    }

    /// What comes in place of the work, if a fault has it so.
    async fn instead(&self, outcome: Option<&FaultKind>, trace_id: &str) -> Option<Response> {
        let moojo = &self.shared.moojo;
        let fault = |status| refusal(moojo, trace_id, Refusal::Fault(status));
        Some(match outcome? {
            FaultKind::RateLimited { retry_after } => {
                let seconds =
                    retry_after.as_secs().saturating_add(u64::from(retry_after.subsec_nanos() > 0));
                with_header(fault(StatusCode::TOO_MANY_REQUESTS), RETRY_AFTER, &seconds.to_string())
            }
            FaultKind::RateLimitedUntil(at) => {
                with_header(fault(StatusCode::TOO_MANY_REQUESTS), RETRY_AFTER, &http_date(*at))
            }
            FaultKind::Status(status) => fault(final_status(*status)),
            FaultKind::Redirect { status, location } => {
                let status = final_status(*status);
                let mut response = Response::new(Body::empty());
                *response.status_mut() =
                    if status.is_redirection() { status } else { StatusCode::TEMPORARY_REDIRECT };
                with_header(response, LOCATION, location)
            }
            FaultKind::Body { status, content_type, body } => {
                let mut response = Response::new(Body::from(body.clone()));
                *response.status_mut() = final_status(*status);
                if content_type.is_empty() {
                    response
                } else {
                    with_header(response, CONTENT_TYPE, content_type)
                }
            }
            FaultKind::CutBeforeAnswer => self.cut_now().await,
            _ => return None,
        })
    }

    /// The answer to what was done, as far as a fault lets it through.
    async fn send(
        &self,
        response: Response,
        outcome: Option<FaultKind>,
        skew: TimeDelta,
        record: RecordId,
        trace_id: &str,
    ) -> http::Response<AnswerBody> {
        if outcome == Some(FaultKind::AnswerLost) {
            return self.cut_now().await;
        }
        let mut response = self.collect(response, skew).await;
        if let Some(FaultKind::Malformed(malformed)) = outcome {
            damage::apply(malformed, &mut response, self.shared.moojo.clock.now());
        }
        self.shared.recorder.answered(record, response.status());
        let switch = || Arc::clone(&self.switch);
        response.map(|body| match outcome {
            Some(FaultKind::CutDuringAnswer) => AnswerBody::broken(&body, switch()),
            Some(FaultKind::CutAfterAnswer) => AnswerBody::whole_then_cut(body, switch()),
            Some(FaultKind::Malformed(Malformed::EndlessBody)) => {
                AnswerBody::endless(damage::endless_start(trace_id))
            }
            _ => AnswerBody::whole(body),
        })
    }

    async fn whole(&self, response: Response, skew: TimeDelta) -> http::Response<AnswerBody> {
        self.collect(response, skew).await.map(AnswerBody::whole)
    }

    /// The answer with its body in one piece and its `Date`.
    async fn collect(&self, response: Response, skew: TimeDelta) -> http::Response<Bytes> {
        let (mut parts, body) = response.into_parts();
        // Our own bodies are in memory: collecting them does not fail.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        // axum has set it; the body may still be changed, and hyper counts what is really sent.
        parts.headers.remove(CONTENT_LENGTH);
        let date = http_date(shift(self.shared.moojo.clock.now(), skew));
        if let Ok(date) = HeaderValue::from_str(&date) {
            parts.headers.insert(DATE, date);
        }
        http::Response::from_parts(parts, body)
    }

    /// Closes the connection; there is no after.
    async fn cut_now<T>(&self) -> T {
        self.switch.cut_now();
        future::pending().await
    }
}

async fn run(router: &axum::Router, request: Request<Body>) -> Response {
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::Invalid("the request body broke off")),
    }
}

/// A status that can end an exchange: hyper does not send a 1xx as an answer.
fn final_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Leaves the header out if the value cannot be one.
fn with_header(mut response: Response, name: http::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
