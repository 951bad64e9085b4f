use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::CodeRefusal;

/// The codes that were sent, by the digits of the number.
#[derive(Default)]
pub(super) struct Codes(HashMap<String, Vec<Code>>);

struct Code {
    text: String,
    expires_at: DateTime<Utc>,
    wrong_attempts: u32,
}

impl Codes {
    pub(super) fn add(&mut self, number: String, text: String, expires_at: DateTime<Utc>) {
        let code = Code { text, expires_at, wrong_attempts: 0 };
        self.0.entry(number).or_default().push(code);
    }

    pub(super) fn end_all(&mut self, number: &str) {
        self.0.remove(number);
    }

    /// Uses a code up. A wrong one counts against every code that is open for the number, since it
    /// does not say which of them was meant.
    ///
    /// Assumption, all of it: that a code works once, that attempts are counted, and how a refusal
    /// says what was wrong.
    pub(super) fn redeem(
        &mut self,
        number: &str,
        text: &str,
        now: DateTime<Utc>,
        attempts: u32,
    ) -> Result<(), CodeRefusal> {
        let codes = self.0.get_mut(number).ok_or(CodeRefusal::Unknown)?;
        // Expired before locked before wrong: what a new code is needed for comes first.
        if codes.iter().all(|code| now >= code.expires_at) {
            return Err(CodeRefusal::Expired);
        }
        let open = |code: &Code| now < code.expires_at && code.wrong_attempts < attempts;
        if !codes.iter().any(open) {
            return Err(CodeRefusal::Locked);
        }
        let found = codes.iter().position(|code| open(code) && code.text == text);
        let Some(found) = found else {
            for code in codes.iter_mut().filter(|code| now < code.expires_at) {
                code.wrong_attempts = code.wrong_attempts.saturating_add(1);
            }
            return Err(CodeRefusal::Wrong);
        };
        codes.remove(found);
        if codes.is_empty() {
            self.0.remove(number);
        }
        Ok(())
    }
}
