//! What came of it: what the processes said, and what Moojo saw.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use moojo_sim::{MoojoSim, RecordedRequest};

use super::Plan;

#[derive(Debug, Default, Clone)]
pub(crate) struct Summary {
    users: usize,
    pub(crate) kills: usize,
    /// Calls that were answered, and those of them that had to wait for a login, by process.
    pub(crate) answered: Vec<(usize, usize)>,
    /// Calls that ended without an answer, with what they said.
    pub(crate) lost: Vec<String>,
    /// Calls that arrived with the token of somebody else.
    pub(crate) foreign_tokens: usize,
    pub(crate) codes: usize,
    pub(crate) logins: usize,
    /// Codes that were sent while an earlier one had not been used.
    pub(crate) needless_codes: usize,
    /// Codes that were sent while the token of an earlier one was good. It can have gone with a
    /// process that was killed before it had saved it.
    pub(crate) early_codes: usize,
    /// Codes that were tried again after they had been accepted, by processes that had not seen that:
    /// the one that had was killed.
    pub(crate) codes_used_again: usize,
}

impl Summary {
    pub(super) fn of(plan: &Plan, kills: usize, sim: &MoojoSim, processes: &[Vec<String>]) -> Self {
        let mut summary = Self { users: plan.users, kills, ..Self::default() };
        for lines in processes {
            let answered = lines.iter().filter(|line| line.starts_with("ok")).count();
            let resumed = lines.iter().filter(|line| *line == "ok after a login").count();
            summary.answered.push((answered, resumed));
            let lost = lines.iter().filter(|line| line.starts_with("lost")).cloned();
            summary.lost.extend(lost);
        }
        let calls = sim.requests_to("/user/vault/list-credentials");
        summary.foreign_tokens =
            calls.iter().filter(|call| succeeded(call) && !is_own(call, sim)).count();
        for (phone, mut events) in history(sim) {
            events.sort_by_key(|event| event.at);
            summary.judge(&phone, &events, plan);
        }
        summary
    }

    /// The codes and logins of one person, in their order.
    fn judge(&mut self, phone: &str, events: &[Event], plan: &Plan) {
        let life = TimeDelta::from_std(plan.token_life).expect("seconds");
        // The token is used no longer than a second before its end.
        let near_end = life - TimeDelta::seconds(2);
        let mut unused: Option<&str> = None;
        let mut used: Vec<&str> = Vec::new();
        let mut logged_in: Option<DateTime<Utc>> = None;
        for event in events {
            let code = event.code.as_str();
            match event.kind {
                Kind::Sent => {
                    self.codes += 1;
                    self.needless_codes += usize::from(unused.is_some());
                    let early = logged_in.is_some_and(|at| event.at - at < near_end);
                    self.early_codes += usize::from(early);
                    unused = Some(code);
                }
                Kind::Accepted => {
                    self.logins += 1;
                    assert_eq!(unused.take(), Some(code), "{phone}: a code of whom?");
                    used.push(code);
                    logged_in = Some(event.at);
                }
                Kind::Refused => self.codes_used_again += usize::from(used.contains(&code)),
            }
        }
    }

    /// Calls that were answered by any process.
    pub(crate) fn calls(&self) -> usize {
        self.answered.iter().map(|(answered, _)| answered).sum()
    }

    /// Nobody lost a call, had another's token, or got a code too many.
    pub(crate) fn is_good(&self) -> bool {
        self.lost.is_empty()
            && self.foreign_tokens == 0
            && self.needless_codes == 0
            && self.answered.iter().all(|(_, resumed)| *resumed > 0)
            && (self.kills > 0 || (self.early_codes, self.codes_used_again) == (0, 0))
    }
}

struct Event {
    at: DateTime<Utc>,
    kind: Kind,
    code: String,
}

enum Kind {
    Sent,
    Accepted,
    Refused,
}

/// What happened to each number.
fn history(sim: &MoojoSim) -> HashMap<String, Vec<Event>> {
    let mut history: HashMap<String, Vec<Event>> = HashMap::new();
    for sms in sim.messages() {
        let event = Event { at: sms.at, kind: Kind::Sent, code: sms.code };
        history.entry(sms.to).or_default().push(event);
    }
    for login in sim.requests_to("/user/authenticate") {
        let Some(body) = login.json() else { continue };
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let kind = if succeeded(&login) { Kind::Accepted } else { Kind::Refused };
        let event = Event { at: login.at, kind, code: text("verificationCode") };
        history.entry(text("phoneNumber")).or_default().push(event);
    }
    history
}

fn succeeded(request: &RecordedRequest) -> bool {
    request.status.is_some_and(|status| status.is_success())
}

fn is_own(call: &RecordedRequest, sim: &MoojoSim) -> bool {
    let whom = call.headers.get("x-for").and_then(|phone| phone.to_str().ok());
    call.user.is_some() && whom.and_then(|phone| sim.public_user_id(phone)) == call.user
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (answered, resumed)) in self.answered.iter().enumerate() {
            let n = n + 1;
            writeln!(f, "process {n}: {answered:>7} calls answered, {resumed} after a login")?;
        }
        writeln!(f, "processes killed {:>6}", self.kills)?;
        writeln!(f, "calls answered   {:>6}", self.calls())?;
        writeln!(f, "CALLS LOST       {:>6}   must be 0", self.lost.len())?;
        writeln!(f, "WRONG TOKENS     {:>6}   must be 0", self.foreign_tokens)?;
        writeln!(f, "codes sent       {:>6}   to {} people", self.codes, self.users)?;
        writeln!(f, "logins by them   {:>6}", self.logins)?;
        write!(f, "NEEDLESS CODES   {:>6}   must be 0", self.needless_codes)?;
        if self.kills > 0 {
            let early = self.early_codes;
            write!(f, "\nlogins that went with a process that was killed: {early}")?;
        }
        for lost in self.lost.iter().take(10) {
            write!(f, "\n  {lost}")?;
        }
        Ok(())
    }
}
