//! Who may call.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::API_KEY;
use crate::moojo::{Moojo, Refusal, User};
use crate::record::bearer;

/// Documented: every call needs the key.
pub(super) fn check_key(moojo: &Moojo, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut keys = headers.get_all(API_KEY).iter();
    match (keys.next(), keys.next()) {
        (None, _) => Err(Refusal::MissingKey),
        (Some(key), None) if key.as_bytes() == moojo.settings.api_key.as_bytes() => Ok(()),
        // Two keys are refused even if one is right: a caller that sends two has a bug.
        _ => Err(Refusal::WrongKey),
    }
}

/// Documented: user-scoped calls need the key and the user's token.
pub(super) fn check_user(moojo: &Moojo, headers: &HeaderMap) -> Result<User, Refusal> {
    check_key(moojo, headers)?;
    if !headers.contains_key(AUTHORIZATION) {
        return Err(Refusal::MissingToken);
    }
    moojo.authorize(bearer(headers).ok_or(Refusal::BadToken)?)
}
