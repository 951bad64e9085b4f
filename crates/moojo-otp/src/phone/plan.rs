//! From what would be dialled to E.164, by the numbering plans.

use zeroize::Zeroizing;

use super::InvalidPhoneNumber;
use super::table::{CALLING_CODES, REGIONS};

/// The most digits of a number in E.164, its calling code counted.
const MAX_E164_DIGITS: usize = 15;

/// The numbers under one calling code.
pub(super) struct CallingCode {
    pub(super) code: u16,
    /// Bit `n` is set if there are numbers of `n` digits.
    pub(super) lengths: u32,
    /// What is dialled before a number at home; it is no part of the number.
    pub(super) trunk: &'static str,
    /// Whether no number that gets an SMS starts with `trunk`.
    pub(super) never_starts_a_number: bool,
}

/// How numbers are dialled in one country.
pub(super) struct Region {
    /// Its code of ISO 3166.
    pub(super) id: &'static str,
    pub(super) code: u16,
    /// What is dialled before a calling code.
    pub(super) abroad: &'static str,
    /// What is dialled before a number.
    pub(super) trunk: &'static str,
}

/// `dialled` are digits, after a `+` if they start with a calling code.
pub(super) fn e164(
    dialled: &str,
    region: Option<&str>,
) -> Result<Zeroizing<Box<str>>, InvalidPhoneNumber> {
    if let Some(digits) = dialled.strip_prefix('+') {
        return international(digits);
    }
    let region = region.ok_or(InvalidPhoneNumber::NoCallingCode)?.to_ascii_uppercase();
    let at = REGIONS.binary_search_by(|known| known.id.cmp(&region));
    let region = at.map(|at| &REGIONS[at]).map_err(|_| InvalidPhoneNumber::UnknownRegion)?;
    match dialled.strip_prefix(region.abroad) {
        Some(digits) if !region.abroad.is_empty() => international(digits),
        _ => write(calling_code(region.code)?, dialled, region.trunk),
    }
}

fn international(digits: &str) -> Result<Zeroizing<Box<str>>, InvalidPhoneNumber> {
    if digits.starts_with('0') {
        return Err(InvalidPhoneNumber::UnknownCallingCode);
    }
    // No calling code is the beginning of another.
    for length in 1..=3 {
        let Some((code, number)) = digits.split_at_checked(length) else { break };
        if let Some(plan) = code.parse().ok().and_then(|code| calling_code(code).ok()) {
            return write(plan, number, plan.trunk);
        }
    }
    Err(InvalidPhoneNumber::UnknownCallingCode)
}

fn calling_code(code: u16) -> Result<&'static CallingCode, InvalidPhoneNumber> {
    let at = CALLING_CODES.binary_search_by_key(&code, |plan| plan.code);
    at.map(|at| &CALLING_CODES[at]).map_err(|_| InvalidPhoneNumber::UnknownCallingCode)
}

/// The calling code that `digits` in E.164 begin with: all of them if there is none.
pub(super) fn calling_code_of(digits: &str) -> &str {
    let mut codes = (1..=3).filter_map(|length| digits.get(..length));
    let known = |code: &&str| code.parse().is_ok_and(|code| calling_code(code).is_ok());
    codes.find(known).unwrap_or(digits)
}

fn write(
    plan: &CallingCode,
    number: &str,
    trunk: &str,
) -> Result<Zeroizing<Box<str>>, InvalidPhoneNumber> {
    let number = without_trunk(plan, number, trunk);
    if !plan.has(number.len()) {
        return Err(match number.len() {
            few if few < plan.lengths.trailing_zeros() as usize => InvalidPhoneNumber::TooShort,
            many if many > plan.lengths.ilog2() as usize => InvalidPhoneNumber::TooLong,
            _ => InvalidPhoneNumber::WrongLength,
        });
    }
    // Large enough for what was read from the start: growing would leave a copy behind.
    let mut e164 = Zeroizing::new(String::with_capacity(32));
    e164.push('+');
    e164.push_str(&plan.code.to_string());
    e164.push_str(number);
    if e164.len() > 1 + MAX_E164_DIGITS {
        return Err(InvalidPhoneNumber::TooLong);
    }
    Ok(Zeroizing::new(e164.as_str().into()))
}

/// Takes off what is only dialled at home: often typed after a calling code too, `+44 (0)20 …`.
/// Where a number may start with the same digits, they are taken for that if the length is right:
/// no number is made another one.
fn without_trunk<'a>(plan: &CallingCode, number: &'a str, trunk: &str) -> &'a str {
    match number.strip_prefix(trunk) {
        Some(rest)
            if plan.has(rest.len()) && (plan.never_starts_a_number || !plan.has(number.len())) =>
        {
            rest
        }
        _ => number,
    }
}

impl CallingCode {
    fn has(&self, length: usize) -> bool {
        length < 32 && self.lengths & (1 << length) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_whole() {
        assert!(CALLING_CODES.is_sorted_by(|a, b| a.code < b.code));
        assert!(REGIONS.is_sorted_by(|a, b| a.id < b.id));
        for plan in CALLING_CODES {
            assert_ne!(plan.lengths, 0, "{}", plan.code);
            assert!(plan.lengths.ilog2() < 18, "{}", plan.code);
            let code = plan.code.to_string();
            for other in CALLING_CODES.iter().filter(|other| other.code != plan.code) {
                assert!(!other.code.to_string().starts_with(&code), "{code} {}", other.code);
            }
        }
        for region in REGIONS {
            assert!(calling_code(region.code).is_ok(), "{}", region.id);
        }
    }
}
