//! Faults as they are asked for over HTTP.

use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;

use crate::fault::{Fault, FaultKind, Malformed};

/// For example `{"kind":"rateLimited","seconds":30,"route":"/user/authenticate","times":2}`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedFault {
    route: Option<String>,
    times: Option<u64>,
    #[serde(default)]
    always: bool,
    #[serde(default)]
    skip: u64,
    #[serde(flatten)]
    kind: AskedKind,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum AskedKind {
    Latency { millis: u64 },
    SlowAnswer { millis: u64 },
    Freeze,
    WrongDate { seconds: i32 },
    RateLimited { seconds: u64 },
    Status { status: u16 },
    Html,
    TruncatedJson,
    WrongContentType,
    MissingData,
    StatusNotSuccess,
    EmptyBody,
    EndlessBody,
    BadToken,
    ExpiryInThePast,
    ExpiryWithoutZone,
    ExpiryAbsent,
    CutBeforeAnswer,
    CutDuringAnswer,
    CutAfterAnswer,
    AnswerLost,
}

impl From<AskedFault> for Fault {
    fn from(asked: AskedFault) -> Self {
        let fault = match asked.route {
            Some(route) => Self::on(route),
            None => Self::any(),
        };
        let fault = fault.skip(asked.skip).kind(asked.kind.into());
        if asked.always { fault.always() } else { fault.times(asked.times.unwrap_or(1)) }
    }
}

impl From<AskedKind> for FaultKind {
    fn from(asked: AskedKind) -> Self {
        match asked {
            AskedKind::Latency { millis } => Self::Latency(Duration::from_millis(millis)),
            AskedKind::SlowAnswer { millis } => Self::SlowAnswer(Duration::from_millis(millis)),
            AskedKind::Freeze => Self::Freeze,
            AskedKind::WrongDate { seconds } => {
                Self::WrongDate(TimeDelta::seconds(i64::from(seconds)))
            }
            AskedKind::RateLimited { seconds } => {
                Self::RateLimited { retry_after: Duration::from_secs(seconds) }
            }
            AskedKind::Status { status } => Self::Status(status),
            AskedKind::Html => Self::Malformed(Malformed::Html),
            AskedKind::TruncatedJson => Self::Malformed(Malformed::TruncatedJson),
            AskedKind::WrongContentType => Self::Malformed(Malformed::WrongContentType),
            AskedKind::MissingData => Self::Malformed(Malformed::MissingData),
            AskedKind::StatusNotSuccess => Self::Malformed(Malformed::StatusNotSuccess),
            AskedKind::EmptyBody => Self::Malformed(Malformed::EmptyBody),
            AskedKind::EndlessBody => Self::Malformed(Malformed::EndlessBody),
            AskedKind::BadToken => Self::Malformed(Malformed::BadToken),
            AskedKind::ExpiryInThePast => Self::Malformed(Malformed::ExpiryInThePast),
            AskedKind::ExpiryWithoutZone => Self::Malformed(Malformed::ExpiryWithoutZone),
            AskedKind::ExpiryAbsent => Self::Malformed(Malformed::ExpiryAbsent),
            AskedKind::CutBeforeAnswer => Self::CutBeforeAnswer,
            AskedKind::CutDuringAnswer => Self::CutDuringAnswer,
            AskedKind::CutAfterAnswer => Self::CutAfterAnswer,
            AskedKind::AnswerLost => Self::AnswerLost,
        }
    }
}
