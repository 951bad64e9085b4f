//! What a short text that is shown to people may be.

use ecow::EcoString;

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Empty,
    TooLong {
        bytes: usize,
    },
    /// It would forge lines where it is shown.
    ControlCharacter {
        at: usize,
    },
}

/// Takes a text as it is: 1 to `max_bytes` bytes without control characters.
pub(crate) fn line(text: &str, max_bytes: usize) -> Result<EcoString, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    if text.len() > max_bytes {
        return Err(Fault::TooLong { bytes: text.len() });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(Fault::ControlCharacter { at }),
        None => Ok(EcoString::from(text)),
    }
}
