use http::StatusCode;

use crate::settings::Settings;

/// Everything that the simulated Moojo says no with.
///
/// **All of this is assumption**: Moojo documents no error, neither its status nor its body. This
/// is the only place that decides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    MissingKey,
    WrongKey,
    MissingToken,
    BadToken,
    Code(CodeRefusal),
    Jwt,
    Invalid(&'static str),
    NotJson,
    NoSuchPath,
    WrongMethod,
    TooLarge,
    Fault(StatusCode),
}

/// Why a code was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeRefusal {
    /// No code is open for the number: never sent, ended by a newer one, or used.
    Unknown,
    Wrong,
    Expired,
    Locked,
}

impl Refusal {
    pub(crate) fn status(self, settings: &Settings) -> StatusCode {
        match self {
            Self::MissingKey | Self::MissingToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::WrongKey => settings.wrong_key_status,
            Self::Code(_) | Self::Jwt => settings.wrong_code_status,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Fault(status) => status,
        }
    }

    /// The name of the error in the body.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "apiKeyMissing",
            Self::WrongKey => "apiKeyInvalid",
            Self::MissingToken => "tokenMissing",
            Self::BadToken => "tokenInvalid",
            Self::Code(CodeRefusal::Unknown) => "verificationCodeUnknown",
            Self::Code(CodeRefusal::Wrong) => "verificationCodeWrong",
            Self::Code(CodeRefusal::Expired) => "verificationCodeExpired",
            Self::Code(CodeRefusal::Locked) => "verificationCodeLocked",
            Self::Jwt => "identityRefused",
            Self::Invalid(_) => "requestInvalid",
            Self::NotJson => "contentTypeUnsupported",
            Self::NoSuchPath => "notFound",
            Self::WrongMethod => "methodNotAllowed",
            Self::TooLarge => "requestTooLarge",
            Self::Fault(_) => "simulatedFault",
        }
    }

    /// A sentence for people; never with anything in it that the caller sent.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::MissingKey => "the x-api-key header is missing",
            Self::WrongKey => "the api key is not known",
            Self::MissingToken => "a bearer token is needed",
            Self::BadToken => "the token is unknown, expired or revoked",
            Self::Code(CodeRefusal::Unknown) => "no verification code is open for this number",
            Self::Code(CodeRefusal::Wrong) => "the verification code is wrong",
            Self::Code(CodeRefusal::Expired) => "the verification code has expired",
            Self::Code(CodeRefusal::Locked) => "too many wrong attempts with this code",
            Self::Jwt => "the identity token was refused",
            Self::Invalid(what) => what,
            Self::NotJson => "the body must be sent as application/json",
            Self::NoSuchPath => "there is no such path",
            Self::WrongMethod => "the path does not know this method",
            Self::TooLarge => "the request body is larger than 64 KiB",
            Self::Fault(_) => "a fault that the test asked for",
        }
    }
}
