//! The two endpoints of the login.

use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::Value;

use super::auth::check_key;
use super::{Call, Success};
use crate::IssuedToken;
use crate::moojo::{Moojo, Refusal};
use crate::time::{iso8601, shift};

/// Documented.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sent {
    verification_id: String,
}

/// Documented.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authenticated {
    token: String,
    #[serde(rename = "expiresAtIso8601")]
    expires_at: String,
    public_user_id: String,
    public_key: String,
}

/// Documented: takes `phoneNumber`, gives `verificationId`.
pub(super) fn send_code(moojo: &Moojo, call: &Call) -> Result<Success<Sent>, Refusal> {
    check_key(moojo, &call.headers)?;
    let body = parse(call)?;
    let phone = field(&body, "phoneNumber", "`phoneNumber` must be a string")?;
    let verification_id = moojo.send_code(phone)?;
    Ok(Success { data: Sent { verification_id }, user: None })
}

/// Documented: `idType` says whether it is a code from an SMS or a Firebase JWT.
pub(super) fn authenticate(moojo: &Moojo, call: &Call) -> Result<Success<Authenticated>, Refusal> {
    check_key(moojo, &call.headers)?;
    let body = parse(call)?;
    let issued = match field(&body, "idType", "`idType` must be a string")? {
        "smsVerificationCode" => {
            let phone = field(&body, "phoneNumber", "`phoneNumber` must be a string")?;
            let code = field(&body, "verificationCode", "`verificationCode` must be a string")?;
            moojo.authenticate_sms(phone, code)?
        }
        "firebaseJwt" => moojo.authenticate_jwt(field(&body, "id", "`id` must be a string")?)?,
        _ => return Err(Refusal::Invalid("`idType` is not known")),
    };
    let user = Some(issued.public_user_id.clone());
    Ok(Success { data: Authenticated::new(issued, call), user })
}

impl Authenticated {
    fn new(issued: IssuedToken, call: &Call) -> Self {
        // A server whose clock is off computes the end on that clock.
        let shown = shift(issued.expires_at, call.skew);
        Self {
            token: issued.token,
            expires_at: iso8601(shown),
            public_user_id: issued.public_user_id,
            public_key: issued.public_key,
        }
    }
}

/// Documented: the body is JSON and says so. Assumption: what happens if not, and that fields that
/// are not known are ignored.
fn parse(call: &Call) -> Result<Value, Refusal> {
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::NotJson);
    }
    serde_json::from_slice(&call.body).map_err(|_| Refusal::Invalid("the body is not JSON"))
}

fn field<'a>(body: &'a Value, name: &str, otherwise: &'static str) -> Result<&'a str, Refusal> {
    body.get(name).and_then(Value::as_str).ok_or(Refusal::Invalid(otherwise))
}
