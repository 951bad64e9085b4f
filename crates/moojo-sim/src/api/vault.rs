//! The user-scoped calls.

use serde::Serialize;

use super::auth::check_user;
use super::{Call, Success};
use crate::moojo::{Moojo, Refusal};

/// Documented.
#[derive(Serialize)]
pub(super) struct Credentials {
    credentials: [Credential; 1],
}

/// Documented, with the values of the documented example where they are not the user's own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    id: String,
    definition_id: String,
    created_at: i64,
    attester_address: String,
    recipient_address: String,
    slug: &'static str,
    fields: Fields,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Fields {
    monthly_spend: u32,
    currency: &'static str,
}

/// Documented.
#[derive(Serialize)]
pub(super) struct Score {
    score: f64,
}

/// Documented: the body of the request is empty. Assumption: one that is not is ignored, and every
/// user has this one credential. `recipientAddress` is the user's own.
pub(super) fn list_credentials(
    moojo: &Moojo,
    call: &Call,
) -> Result<Success<Credentials>, Refusal> {
    let user = check_user(moojo, &call.headers)?;
    let credential = Credential {
        id: format!("0x{}", user.public_key.trim_start_matches("0x02")),
        definition_id: format!("0x{}", "d3".repeat(32)),
        created_at: user.created_at.timestamp_millis(),
        attester_address: format!("0x{}", "a7".repeat(20)),
        recipient_address: user.recipient_address,
        slug: "groceries-expenses",
        fields: Fields { monthly_spend: 300, currency: "USD" },
    };
    let data = Credentials { credentials: [credential] };
    Ok(Success { data, user: Some(user.public_user_id) })
}

/// Documented: the answer. Assumption: any body will do, and everybody fits alike.
pub(super) fn compute_fit_score(moojo: &Moojo, call: &Call) -> Result<Success<Score>, Refusal> {
    let user = check_user(moojo, &call.headers)?;
    Ok(Success { data: Score { score: 0.8 }, user: Some(user.public_user_id) })
}
