//! What came of it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use moojo_sim::{MoojoSim, RecordedRequest};

use super::agent::MEANT_FOR;
use super::crowd::Crowd;
use super::tally::{Tally, clock_time, grouped};

/// The figures at the end. Those about calls come from the agents, those about requests, tokens and
/// codes from the simulated Moojo.
#[derive(Debug)]
pub(crate) struct Summary {
    time: Duration,
    tasks: usize,
    pub(crate) finished: usize,
    given_up: usize,
    pub(crate) begun: usize,
    pub(crate) answered: usize,
    pub(crate) resumed: usize,
    pub(crate) declined: usize,
    pub(crate) past_deadline: usize,
    revoked: usize,
    requests: usize,
    /// With a token that was refused.
    refused: usize,
    pub(crate) codes_sent: usize,
    pub(crate) people_asked: usize,
    taken_over: usize,
    wrong_codes: usize,
    pub(crate) logins: usize,
    /// Calls that arrived with another token than that of the user they were meant for.
    pub(crate) foreign_tokens: usize,
    /// Calls that neither succeeded nor ended with `Declined` or at their deadline.
    pub(crate) lost: usize,
    why_lost: Vec<String>,
}

impl Summary {
    pub(super) fn new(tally: &Tally, crowd: &Crowd, sim: &MoojoSim, time: Duration) -> Self {
        let requests = sim.requests();
        let (calls, others): (Vec<_>, Vec<_>) =
            requests.iter().partition(|request| request.path.starts_with("/user/vault/"));
        let logins = |status| {
            let is_one = |request: &&&RecordedRequest| {
                request.path == "/user/authenticate" && request.status == Some(status)
            };
            others.iter().filter(is_one).count()
        };
        let refused =
            |request: &&&RecordedRequest| request.status == Some(StatusCode::UNAUTHORIZED);
        Self {
            time,
            tasks: tally.tasks,
            finished: tally.finished.get(),
            given_up: tally.given_up.get(),
            begun: tally.begun.get(),
            answered: tally.answered.get(),
            resumed: tally.resumed.get(),
            declined: tally.declined.get(),
            past_deadline: tally.past_deadline.get(),
            revoked: tally.revoked.get(),
            requests: calls.len(),
            refused: calls.iter().filter(refused).count(),
            codes_sent: sim.sms_count(),
            people_asked: crowd.asked(),
            taken_over: crowd.taken_over(),
            wrong_codes: logins(StatusCode::BAD_REQUEST),
            logins: logins(StatusCode::OK),
            foreign_tokens: foreign_tokens(&calls, crowd, sim),
            lost: tally.lost(),
            why_lost: tally.why_lost(),
        }
    }

    /// Whether it went as it must.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.foreign_tokens == 0 && self.codes_sent == self.people_asked
    }
}

/// Looks at every request that the server got: whose token is it, and who was it meant for?
fn foreign_tokens(calls: &[&RecordedRequest], crowd: &Crowd, sim: &MoojoSim) -> usize {
    let meant_for: HashMap<_, _> = crowd
        .people()
        .iter()
        .map(|person| (person.user.as_str(), sim.public_user_id(&person.phone)))
        .collect();
    let is_own = |call: &&&RecordedRequest| {
        let user = call.headers.get(MEANT_FOR).and_then(|user| user.to_str().ok());
        let meant_for = user.and_then(|user| meant_for.get(user)).and_then(Option::as_deref);
        let owner = call.bearer().and_then(|token| sim.user_of(token));
        owner.is_some() && owner.as_deref() == meant_for
    };
    calls.iter().filter(|call| !is_own(call)).count()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, number: usize, what: &str| {
            let number = grouped(number);
            writeln!(f, "{}", format!("  {name:<34}{number:>8}   {what}").trim_end())
        };
        row("tasks finished", self.finished, &format!("of {}", grouped(self.tasks)))?;
        row("tasks given up", self.given_up, "their person did not come in time")?;
        row("calls made", self.begun, "")?;
        row("  answered", self.answered, "")?;
        row("    waited and were resumed", self.resumed, "after a login")?;
        row("  declined", self.declined, "\"not now\", or codes unanswered")?;
        row("  past their deadline", self.past_deadline, "nobody had typed a code")?;
        row("requests for them at Moojo", self.requests, "")?;
        let ended = format!("Moojo had ended {} tokens early", self.revoked);
        row("  refused, and sent again", self.refused, &ended)?;
        row("codes sent (SMS)", self.codes_sent, "")?;
        row(
            "times somebody was asked for one",
            self.people_asked,
            "must be as many: one SMS each time",
        )?;
        row("  by a second worker, too", self.taken_over, "the first had died: no second SMS")?;
        row("wrong codes typed", self.wrong_codes, "")?;
        row("logins", self.logins, "")?;
        row("calls with another user's token", self.foreign_tokens, "must be 0")?;
        row(
            "CALLS LOST",
            self.lost,
            "neither answered, declined nor at their deadline: must be 0",
        )?;
        for why in &self.why_lost {
            writeln!(f, "    {why}")?;
        }
        write!(f, "\n{} hours went by for the agents.", clock_time(self.time))
    }
}
