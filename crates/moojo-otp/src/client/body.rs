//! The bodies of the requests, with the fields in the order of Moojo's documentation.

use bytes::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::code::{FirebaseJwt, VerificationCode};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Send<'a> {
    phone_number: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "idType", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Authenticate<'a> {
    SmsVerificationCode { phone_number: &'a str, verification_code: &'a str },
    FirebaseJwt { id: &'a str },
}

pub(super) fn send(phone_number: &str) -> Bytes {
    json(&Send { phone_number }, phone_number.len())
}

pub(super) fn authenticate(phone_number: &str, code: &VerificationCode) -> Bytes {
    let verification_code = code.expose_secret();
    let size = phone_number.len() + verification_code.len();
    json(&Authenticate::SmsVerificationCode { phone_number, verification_code }, size)
}

pub(super) fn authenticate_with_jwt(jwt: &FirebaseJwt) -> Bytes {
    let id = jwt.expose_secret();
    json(&Authenticate::FirebaseJwt { id }, id.len())
}

/// `value` as JSON in bytes that are overwritten when the last copy goes.
fn json(value: &impl Serialize, size: usize) -> Bytes {
    // Large enough from the start, with every character escaped: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(128 + 6 * size));
    serde_json::to_writer(&mut *bytes, value).expect("texts under fixed names, into memory");
    Bytes::from_owner(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_bodies() {
        assert_eq!(send("+1(555)987-6543"), r#"{"phoneNumber":"+1(555)987-6543"}"#);
        assert_eq!(
            authenticate("+1(555)987-6543", &VerificationCode::new("133575").unwrap()),
            concat!(
                r#"{"idType":"smsVerificationCode","phoneNumber":"+1(555)987-6543","#,
                r#""verificationCode":"133575"}"#
            )
        );
        assert_eq!(
            authenticate_with_jwt(&FirebaseJwt::new("eyJhbGciOiJSUzI1NiIsImtpZCI6").unwrap()),
            r#"{"idType":"firebaseJwt","id":"eyJhbGciOiJSUzI1NiIsImtpZCI6"}"#
        );
    }

    #[test]
    fn what_a_code_may_hold_is_escaped() {
        let body = authenticate("+1", &VerificationCode::new(r#"a"\","x":"y"#).unwrap());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["verificationCode"], r#"a"\","x":"y"#);
    }
}
