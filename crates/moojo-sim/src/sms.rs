use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::moojo::digits;

/// A text message that the simulated Moojo has sent.
///
/// `Debug` shows neither the code nor the whole number.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmsMessage {
    /// The number, exactly as the caller of the API wrote it.
    pub to: String,
    /// The code: six digits.
    pub code: String,
    /// What the person reads; the code is in it.
    pub text: String,
    /// When it was sent, on the simulator's clock.
    pub at: DateTime<Utc>,
    /// The `verificationId` that the caller of the API was given.
    pub verification_id: String,
}

impl fmt::Debug for SmsMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmsMessage")
            .field("to", &masked(&self.to))
            .field("at", &self.at)
            .field("verification_id", &self.verification_id)
            .finish_non_exhaustive()
    }
}

/// The last two digits, which is enough to find one's place in a log of a test.
fn masked(phone: &str) -> String {
    let digits = digits(phone);
    let shown = digits.len().saturating_sub(2);
    format!("…{}", &digits[shown..])
}

/// The latest messages, oldest first.
pub(crate) struct Inbox {
    /// Each with the digits of its number.
    messages: VecDeque<(String, SmsMessage)>,
    limit: usize,
}

impl Inbox {
    pub(crate) fn new(limit: usize) -> Self {
        Self { messages: VecDeque::new(), limit }
    }

    pub(crate) fn push(&mut self, message: SmsMessage) {
        self.messages.push_back((digits(&message.to), message));
        while self.messages.len() > self.limit {
            self.messages.pop_front();
        }
    }

    /// Those to one number, or all.
    pub(crate) fn messages(&self, phone: Option<&str>) -> Vec<SmsMessage> {
        let wanted = phone.map(digits);
        self.messages
            .iter()
            .filter(|(number, _)| wanted.as_ref().is_none_or(|wanted| number == wanted))
            .map(|(_, message)| message.clone())
            .collect()
    }

    pub(crate) fn last(&self, phone: &str) -> Option<&SmsMessage> {
        let wanted = digits(phone);
        self.messages.iter().rev().find(|(number, _)| *number == wanted).map(|(_, message)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::SmsMessage;

    #[test]
    fn rule_13_debug_shows_no_code_and_no_whole_number() {
        let message = SmsMessage {
            to: "+1(555)987-6543".to_owned(),
            code: "133575".to_owned(),
            text: "133575 is your code".to_owned(),
            at: "2025-02-16T13:12:52Z".parse().expect("a literal time"),
            verification_id: "23bf".to_owned(),
        };
        let shown = format!("{message:?}");
        assert!(!shown.contains("133575"), "{shown}");
        assert!(!shown.contains("987"), "{shown}");
        assert!(shown.contains("…43"), "{shown}");
    }
}
