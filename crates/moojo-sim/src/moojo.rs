//! What Moojo knows and decides: users, codes, tokens. No HTTP in here, and no faults.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moojo_session::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::IssuedToken;
use crate::settings::Settings;
use crate::sms::{Inbox, SmsMessage};
use crate::time::after;

mod codes;
mod digits;
mod random;
mod refusal;
mod tokens;
mod users;

use codes::Codes;
pub(crate) use digits::digits;
use random::Random;
pub(crate) use refusal::{CodeRefusal, Refusal};
use tokens::Tokens;
pub(crate) use users::User;
use users::{Identity, Users};

/// The simulated service. One lock: every decision is about a consistent whole, and nothing in
/// it waits.
pub(crate) struct Moojo {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    state: Mutex<State>,
    /// Of its own, so that the number of requests in between does not change the seeded codes.
    trace_ids: Mutex<Random>,
    sms_count: watch::Sender<usize>,
}

struct State {
    random: Random,
    users: Users,
    codes: Codes,
    tokens: Tokens,
    inbox: Inbox,
}

impl Moojo {
    pub(crate) fn new(clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let state = State {
            random: random.fork(),
            users: Users::default(),
            codes: Codes::default(),
            tokens: Tokens::default(),
            inbox: Inbox::new(settings.record_limit),
        };
        Self {
            clock,
            settings,
            state: Mutex::new(state),
            trace_ids: Mutex::new(random),
            sms_count: watch::Sender::new(0),
        }
    }

    pub(crate) fn trace_id(&self) -> String {
        self.trace_ids.lock().uuid()
    }

    /// Sends a code to the number and gives the verification id.
    pub(crate) fn send_code(&self, phone: &str) -> Result<String, Refusal> {
        let number = phone_digits(phone)?;
        let now = self.clock.now();
        let mut state = self.state.lock();
        let code = state.random.code();
        // Documented only by its example: 54 hexadecimal characters.
        let verification_id = state.random.hex(54);
        if self.settings.new_code_ends_older {
            state.codes.end_all(&number);
        }
        state.codes.add(number, code.clone(), after(now, self.settings.code_ttl));
        let text = sms_text(&code, self.settings.code_ttl);
        state.inbox.push(SmsMessage {
            to: phone.to_owned(),
            code,
            text,
            at: now,
            verification_id: verification_id.clone(),
        });
        drop(state);
        self.sms_count.send_modify(|count| *count += 1);
        Ok(verification_id)
    }

    /// Trades a code for a token. The verification id has no part in it, as documented.
    pub(crate) fn authenticate_sms(&self, phone: &str, code: &str) -> Result<IssuedToken, Refusal> {
        let number = phone_digits(phone)?;
        let now = self.clock.now();
        let mut state = self.state.lock();
        state
            .codes
            .redeem(&number, code, now, self.settings.code_attempts)
            .map_err(Refusal::Code)?;
        Ok(self.issue(&mut state, Identity::Phone(number), now))
    }

    /// Trades a Firebase JWT for a token. The JWT is opaque: each text of it is one user.
    pub(crate) fn authenticate_jwt(&self, jwt: &str) -> Result<IssuedToken, Refusal> {
        if jwt.is_empty() {
            return Err(Refusal::Invalid("`id` is empty"));
        }
        let now = self.clock.now();
        let mut state = self.state.lock();
        let identity = state.users.identity_of_jwt(jwt).ok_or(Refusal::Jwt)?;
        Ok(self.issue(&mut state, identity, now))
    }

    /// A token for the user of this number, without a code.
    pub(crate) fn login(&self, phone: &str) -> IssuedToken {
        let now = self.clock.now();
        self.issue(&mut self.state.lock(), Identity::Phone(digits(phone)), now)
    }

    /// The user whose live token this is.
    pub(crate) fn authorize(&self, token: &str) -> Result<User, Refusal> {
        let state = self.state.lock();
        let owner = state.tokens.live_owner(token, self.clock.now()).ok_or(Refusal::BadToken)?;
        state.users.get(owner).cloned().ok_or(Refusal::BadToken)
    }

    pub(crate) fn is_live(&self, token: &str) -> bool {
        self.authorize(token).is_ok()
    }

    /// The user that this token was given to, live or not.
    pub(crate) fn owner_of(&self, token: &str) -> Option<String> {
        self.state.lock().tokens.owner(token).map(str::to_owned)
    }

    pub(crate) fn user_of_phone(&self, phone: &str) -> Option<User> {
        self.state.lock().users.find(&Identity::Phone(digits(phone))).cloned()
    }

    pub(crate) fn revoke_token(&self, token: &str) -> bool {
        self.state.lock().tokens.revoke(token, self.clock.now())
    }

    pub(crate) fn revoke_user(&self, phone: &str) -> usize {
        let mut state = self.state.lock();
        let Some(user) = state.users.find(&Identity::Phone(digits(phone))) else { return 0 };
        let id = user.public_user_id.clone();
        state.tokens.revoke_all(&id, self.clock.now())
    }

    pub(crate) fn link_jwt(&self, jwt: &str, phone: &str) {
        self.state.lock().users.link_jwt(jwt, digits(phone));
    }

    pub(crate) fn refuse_jwt(&self, jwt: &str) {
        self.state.lock().users.refuse_jwt(jwt);
    }

    /// The messages to one number, or all of them, oldest first.
    pub(crate) fn inbox(&self, phone: Option<&str>) -> Vec<SmsMessage> {
        self.state.lock().inbox.messages(phone)
    }

    pub(crate) fn last_code(&self, phone: &str) -> Option<String> {
        self.state.lock().inbox.last(phone).map(|message| message.code.clone())
    }

    pub(crate) fn sms_count(&self) -> watch::Receiver<usize> {
        self.sms_count.subscribe()
    }

    fn issue(&self, state: &mut State, identity: Identity, now: DateTime<Utc>) -> IssuedToken {
        let State { random, users, tokens, .. } = state;
        let user = users.find_or_create(identity, random, now);
        if self.settings.new_login_ends_older {
            tokens.revoke_all(&user.public_user_id, now);
        }
        // Documented by its example: 64 hexadecimal characters.
        let token = random.hex(64);
        let expires_at = after(now, self.settings.token_ttl);
        tokens.add(token.clone(), user.public_user_id.clone(), expires_at);
        IssuedToken {
            token,
            expires_at,
            public_user_id: user.public_user_id.clone(),
            public_key: user.public_key.clone(),
        }
    }
}

/// Assumption: any text with as many digits as a phone number can have is one.
fn phone_digits(phone: &str) -> Result<String, Refusal> {
    let digits = digits(phone);
    // E.164 allows 15; the shortest numbers in use with a country code have 6 or 7.
    if (6..=15).contains(&digits.len()) {
        Ok(digits)
    } else {
        Err(Refusal::Invalid("`phoneNumber` is not a phone number"))
    }
}

/// Assumption: the text of the SMS is documented nowhere.
fn sms_text(code: &str, ttl: Duration) -> String {
    let seconds = ttl.as_secs();
    let (count, unit) =
        if seconds.is_multiple_of(60) { (seconds / 60, "minute") } else { (seconds, "second") };
    let plural = if count == 1 { "" } else { "s" };
    format!("{code} is your Moojo verification code. It is valid for {count} {unit}{plural}.")
}
