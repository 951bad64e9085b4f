//! Phone numbers: what people type, and E.164.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use zeroize::Zeroizing;

mod plan;
mod read;
mod table;

/// A phone number in E.164, and the text that it was read from.
///
/// [`FromStr`] reads the international form, with a leading `+`, as people type it: with spaces,
/// dashes, dots, slashes and parentheses, in the digits of several scripts.
/// [`PhoneNumber::parse_in`] also reads what people dial at home.
///
/// A number has to be *possible* in the sense of Google's libphonenumber: a calling code that
/// exists, and a length that numbers under it have. It need not be *valid*, of a block that is in
/// use: those tables age, and Moojo's documented example is in none.
///
/// `Debug` and `Display` hide all but the first and the last two digits. Two numbers are equal if
/// their E.164 is. The bytes are overwritten when a number goes.
///
/// ```
/// use moojo_otp::PhoneNumber;
///
/// let phone: PhoneNumber = "+1(555)987-6543".parse()?;
/// assert_eq!(phone.e164(), "+15559876543");
/// assert_eq!(phone.as_typed(), "+1(555)987-6543");
/// assert_eq!(phone.to_string(), "+1••••••••43");
/// # Ok::<(), moojo_otp::InvalidPhoneNumber>(())
/// ```
#[derive(Clone)]
pub struct PhoneNumber {
    e164: Zeroizing<Box<str>>,
    typed: Zeroizing<Box<str>>,
}

impl PhoneNumber {
    /// Reads a number as it is dialled in `region`, a country code of ISO 3166 such as `US`. A
    /// number with a leading `+` is read as [`FromStr`] does.
    ///
    /// Regions where home numbers follow more than one fixed prefix (Argentina, Brazil, Colombia,
    /// South Korea and some others) are not known to it: there the `+` has to be typed.
    ///
    /// ```
    /// use moojo_otp::PhoneNumber;
    ///
    /// assert_eq!(PhoneNumber::parse_in("(0)30 123456", "DE")?.e164(), "+4930123456");
    /// # Ok::<(), moojo_otp::InvalidPhoneNumber>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidPhoneNumber`].
    pub fn parse_in(text: &str, region: &str) -> Result<Self, InvalidPhoneNumber> {
        Self::read(text, Some(region))
    }

    /// The number in E.164, such as `+15559876543`.
    pub fn e164(&self) -> &str {
        &self.e164
    }

    /// The country calling code that the number begins with, without the `+`.
    pub(crate) fn calling_code(&self) -> &str {
        plan::calling_code_of(self.e164.trim_start_matches('+'))
    }

    /// The text that the number was read from, without white space around it.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    fn read(text: &str, region: Option<&str>) -> Result<Self, InvalidPhoneNumber> {
        let dialled = read::dialled(text)?;
        let e164 = plan::e164(&dialled, region)?;
        Ok(Self { e164, typed: Zeroizing::new(text.trim().into()) })
    }

    /// The text to keep in a store: what [`PhoneNumber::from_kept`] makes the number of again.
    pub(crate) fn kept(&self, with_typed: bool) -> Zeroizing<String> {
        let mut text =
            Zeroizing::new(String::with_capacity(self.e164.len() + self.typed.len() + 1));
        text.push_str(&self.e164);
        if with_typed && self.typed != self.e164 {
            text.push(' ');
            text.push_str(&self.typed);
        }
        text
    }

    pub(crate) fn from_kept(text: &str) -> Option<Self> {
        let (e164, typed) = text.split_once(' ').unwrap_or((text, text));
        let digits = e164.strip_prefix('+')?;
        let ok = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        ok.then(|| Self { e164: Zeroizing::new(e164.into()), typed: Zeroizing::new(typed.into()) })
    }
}

impl FromStr for PhoneNumber {
    type Err = InvalidPhoneNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text, None)
    }
}

impl PartialEq for PhoneNumber {
    fn eq(&self, other: &Self) -> bool {
        self.e164 == other.e164
    }
}

impl Eq for PhoneNumber {}

impl Hash for PhoneNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.e164.hash(state);
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, tail) = self.e164.split_at(2.min(self.e164.len()));
        let (hidden, shown) = tail.split_at(tail.len().saturating_sub(2));
        f.write_str(head)?;
        for _ in hidden.chars() {
            f.write_str("•")?;
        }
        f.write_str(shown)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

/// Why a text is no [`PhoneNumber`]. It shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPhoneNumber {
    /// It has no digits.
    #[error("the phone number has no digits")]
    Empty,
    /// It has a letter, an extension or a sign that is no separator of digits.
    #[error("the phone number has a character that is neither a digit nor a separator")]
    IllegalCharacter,
    /// It has no leading `+`, and no region was given to read it in.
    #[error("the phone number has no country calling code: it has to start with a +")]
    NoCallingCode,
    /// What follows the `+` is no country's calling code.
    #[error("the phone number starts with a calling code that does not exist")]
    UnknownCallingCode,
    /// The region is no country's code, or one whose home numbers are not read.
    #[error("phone numbers of the region can only be read with a leading +")]
    UnknownRegion,
    /// It has fewer digits than numbers of that country.
    #[error("the phone number is too short")]
    TooShort,
    /// It has more digits than numbers of that country, or than E.164 allows.
    #[error("the phone number is too long")]
    TooLong,
    /// It is neither too short nor too long, but no number of that country has so many digits.
    #[error("the phone number has a length that its country does not have")]
    WrongLength,
}

#[cfg(test)]
mod tests;
