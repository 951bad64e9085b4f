//! Which numbers get codes, by how they begin.

use std::fmt;

use super::error::LoginError;
use crate::phone::PhoneNumber;

/// How many digits of a number stay hidden whatever the prefix that it is refused by.
const HIDDEN: usize = 4;

/// The most digits of a number in E.164.
const MAX_DIGITS: usize = 15;

/// Prefixes of numbers in E.164, without the `+`.
#[derive(Clone, Default)]
pub(super) struct Prefixes {
    allowed: Vec<Box<str>>,
    denied: Vec<Box<str>>,
}

impl fmt::Debug for Prefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One may be somebody's whole number.
        f.debug_struct("Prefixes")
            .field("allowed", &self.allowed.len())
            .field("denied", &self.denied.len())
            .finish()
    }
}

/// Why a text is no prefix of phone numbers. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPrefix {
    /// It has no digits.
    #[error("the prefix has no digits")]
    Empty,
    /// It has something else than ASCII digits after a `+`, which may be left out.
    #[error("the prefix has a character that is no digit")]
    IllegalCharacter,
    /// It starts with a zero, which no calling code does.
    #[error("the prefix starts with a zero: it has to start with a calling code")]
    NoCallingCode,
    /// It has more than the 15 digits of a number in E.164.
    #[error("the prefix has more than {MAX_DIGITS} digits")]
    TooLong,
}

impl Prefixes {
    pub(super) fn allow(&mut self, prefix: &str) -> Result<(), InvalidPrefix> {
        self.allowed.push(read(prefix)?);
        Ok(())
    }

    pub(super) fn deny(&mut self, prefix: &str) -> Result<(), InvalidPrefix> {
        self.denied.push(read(prefix)?);
        Ok(())
    }

    /// The longest prefix of the number decides; of two that are as long, the denied one.
    pub(super) fn check(&self, phone: &PhoneNumber) -> Result<(), LoginError> {
        let digits = phone.e164().trim_start_matches('+');
        let prefix = match (longest(&self.allowed, digits), longest(&self.denied, digits)) {
            (Some(allowed), Some(denied)) if allowed.len() > denied.len() => return Ok(()),
            (_, Some(denied)) => denied,
            (Some(_), None) => return Ok(()),
            (None, None) if self.allowed.is_empty() => return Ok(()),
            (None, None) => phone.calling_code(),
        };
        let shown = prefix.len().min(digits.len().saturating_sub(HIDDEN));
        Err(LoginError::NumberNotAllowed { prefix: format!("+{}", &prefix[..shown]) })
    }
}

fn read(prefix: &str) -> Result<Box<str>, InvalidPrefix> {
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if digits.is_empty() {
        return Err(InvalidPrefix::Empty);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidPrefix::IllegalCharacter);
    }
    if digits.starts_with('0') {
        return Err(InvalidPrefix::NoCallingCode);
    }
    if digits.len() > MAX_DIGITS {
        return Err(InvalidPrefix::TooLong);
    }
    Ok(digits.into())
}

fn longest<'a>(prefixes: &'a [Box<str>], digits: &str) -> Option<&'a str> {
    let matching = prefixes.iter().filter(|prefix| digits.starts_with(&***prefix));
    matching.max_by_key(|prefix| prefix.len()).map(|prefix| &**prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(allowed: &[&str], denied: &[&str]) -> Prefixes {
        let mut prefixes = Prefixes::default();
        for prefix in allowed {
            prefixes.allow(prefix).unwrap();
        }
        for prefix in denied {
            prefixes.deny(prefix).unwrap();
        }
        prefixes
    }

    /// What the refusal of a number names.
    fn refused(prefixes: &Prefixes, number: &str) -> Option<String> {
        match prefixes.check(&number.parse().unwrap()) {
            Ok(()) => None,
            Err(LoginError::NumberNotAllowed { prefix }) => Some(prefix),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn rule_12_the_longest_prefix_decides_and_a_denied_one_wins_a_tie() {
        for (allowed, denied, number, named) in [
            (&[][..], &[][..], "+19005559876", None),
            (&["1", "49"], &[], "+19005559876", None),
            (&["1", "49"], &[], "+4930123456", None),
            (&["1", "49"], &[], "+447700900123", Some("+44")),
            (&["1", "49"], &[], "+35315551234", Some("+353")),
            (&[], &["1900"], "+19005559876", Some("+1900")),
            (&[], &["1900"], "+15559876543", None),
            (&["1"], &["1900"], "+19005559876", Some("+1900")),
            (&["1900555"], &["1900"], "+19005559876", None),
            (&["1", "1900555"], &["1900", "19"], "+19005559876", None),
            (&["1900"], &["1900"], "+19005559876", Some("+1900")),
            (&["1900"], &["1900", "1"], "+19015559876", Some("+1")),
            (&["+49"], &["+1900"], "+19005559876", Some("+1900")),
        ] {
            let prefixes = prefixes(allowed, denied);
            assert_eq!(refused(&prefixes, number).as_deref(), named, "{allowed:?} {denied:?}");
        }
    }

    #[test]
    fn rule_13_a_prefix_that_is_a_whole_number_is_not_shown_whole() {
        let number = "+15559876543";
        assert_eq!(refused(&prefixes(&[], &[number]), number).as_deref(), Some("+1555987"));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for (text, error) in [
            ("", InvalidPrefix::Empty),
            ("+", InvalidPrefix::Empty),
            ("1 900", InvalidPrefix::IllegalCharacter),
            ("++1", InvalidPrefix::IllegalCharacter),
            ("１", InvalidPrefix::IllegalCharacter),
            ("0049", InvalidPrefix::NoCallingCode),
            ("1234567890123456", InvalidPrefix::TooLong),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }
}
