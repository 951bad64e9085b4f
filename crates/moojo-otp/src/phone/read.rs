//! From a text as it was typed to what would be dialled.

use zeroize::Zeroizing;

use super::InvalidPhoneNumber;

/// The longest text that is looked at, in characters: no number with its separators is longer.
const MAX_CHARS: usize = 64;

/// The most digits: the 15 of E.164 and room for a prefix that is only dialled at home.
const MAX_DIGITS: usize = 18;

/// The digits in ASCII, after a `+` if there was one.
pub(super) fn dialled(text: &str) -> Result<Zeroizing<String>, InvalidPhoneNumber> {
    // Large enough from the start: growing would leave a copy behind.
    let mut dialled = Zeroizing::new(String::with_capacity(1 + MAX_DIGITS));
    for (at, char) in text.trim().chars().enumerate() {
        if at == MAX_CHARS {
            return Err(InvalidPhoneNumber::TooLong);
        }
        match char {
            '+' | '＋' if dialled.is_empty() => dialled.push('+'),
            _ if is_separator(char) => {}
            _ => {
                dialled.push(digit(char).ok_or(InvalidPhoneNumber::IllegalCharacter)?);
            }
        }
        if dialled.len() > MAX_DIGITS {
            return Err(InvalidPhoneNumber::TooLong);
        }
    }
    match dialled.as_str() {
        "" | "+" => Err(InvalidPhoneNumber::Empty),
        _ => Ok(dialled),
    }
}

/// What stands between digits, and what address books leave around a number unseen.
fn is_separator(char: char) -> bool {
    char.is_whitespace()
        || matches!(char, '-' | '.' | '(' | ')' | '/' | '·' | '−')
        || matches!(char, '\u{2010}'..='\u{2015}' | '（' | '）' | '－' | '．' | '／' | 'ー')
        // Soft hyphen, zero-width characters and marks of the writing direction.
        || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(char, '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The digits of the scripts that phones are typed in.
fn digit(char: char) -> Option<char> {
    const ZEROS: [char; 6] = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '０'];
    let char = u32::from(char);
    let value = ZEROS
        .iter()
        .find_map(|zero| char.checked_sub(u32::from(*zero)).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}
