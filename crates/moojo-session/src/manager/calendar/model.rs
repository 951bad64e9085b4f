//! The calendar against a list of sessions that is scanned for everything.

use proptest::prelude::*;

use super::*;

const MAX_USERS: usize = 4;
/// Some lie within one second of another.
const LEADS: [u64; 5] = [12_000, 6_300, 6_100, 3_700, 900];

#[derive(Debug, Clone)]
enum Action {
    /// A new session of the user, that ends in so many nanoseconds.
    Login(u8, i64),
    /// The session that the user has.
    Again(u8),
    Gone(u8),
    /// The clock moves.
    Time(i64),
    Due(usize),
    /// Of the notices given so far, this one from the last on is held for so long.
    Hold(usize, i64),
    Forecast(i64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let users = 0..6_u8;
    // Half of the times are whole seconds apart, where the edges are.
    let span = |seconds: std::ops::Range<i64>| {
        let nanos = prop_oneof![Just(0), 0..SECOND];
        (seconds, nanos).prop_map(|(seconds, nanos)| seconds * SECOND + nanos)
    };
    let action = prop_oneof![
        4 => (users.clone(), span(-2..25)).prop_map(|(user, end)| Action::Login(user, end)),
        1 => users.clone().prop_map(Action::Again),
        1 => users.prop_map(Action::Gone),
        6 => span(0..4).prop_map(Action::Time),
        1 => span(-8..15).prop_map(Action::Time),
        5 => (1..4_usize).prop_map(Action::Due),
        4 => (0..3_usize, span(-1..6)).prop_map(|(notice, time)| Action::Hold(notice, time)),
        1 => span(-5..70).prop_map(Action::Forecast),
    ];
    prop::collection::vec(action, 0..120)
}

#[derive(Debug)]
struct Known {
    user: UserId,
    id: SessionId,
    end: i64,
    /// The notices still to come: the second and the lead.
    to_come: Vec<(i64, Duration)>,
    /// The last lead that was given or that was past at arrival, unless its notice is held.
    last: Option<Duration>,
}

impl Known {
    fn over(&self, now: i64) -> bool {
        self.end <= now
    }

    /// The second in which the session is looked at.
    fn next(&self) -> i64 {
        self.to_come.iter().map(|(second, _)| *second).fold(up(self.end), i64::min)
    }

    /// The lead that a notice would be for.
    fn due(&self, now: i64) -> Option<Duration> {
        if self.over(now) {
            return None;
        }
        let due = self.to_come.iter().filter(|(second, _)| *second <= down(now));
        due.map(|(_, lead)| *lead).min()
    }
}

fn down(nanos: i64) -> i64 {
    nanos.div_euclid(SECOND)
}

fn up(nanos: i64) -> i64 {
    -(-nanos).div_euclid(SECOND)
}

#[derive(Default)]
struct Model {
    sessions: Vec<Known>,
    left_out: u64,
}

impl Model {
    fn arrived(&mut self, user: &UserId, id: SessionId, end: i64, now: i64) {
        if self.sessions.iter().any(|known| known.user == *user && known.id == id) {
            return;
        }
        self.gone(user);
        if end <= now {
            return;
        }
        if self.sessions.len() == MAX_USERS {
            self.left_out += 1;
            return;
        }
        let leads = LEADS.map(Duration::from_millis);
        let at = |lead: &Duration| end - lead.as_nanos() as i64;
        let (coming, past): (Vec<_>, Vec<_>) = leads.iter().partition(|lead| at(lead) > now);
        let to_come = coming.into_iter().map(|lead| (down(at(&lead)), lead)).collect();
        let last = past.into_iter().min();
        self.sessions.push(Known { user: user.clone(), id, end, to_come, last });
    }

    fn gone(&mut self, user: &UserId) {
        self.sessions.retain(|known| known.user != *user);
    }

    fn given(&mut self, notice: &Notice) {
        let known = self.sessions.iter_mut().find(|known| known.user == notice.user).unwrap();
        known.to_come.retain(|(_, lead)| *lead < notice.lead);
        known.last = Some(notice.lead);
    }

    fn hold(&mut self, notice: &Notice, until: i64) {
        let is_meant = |known: &&mut Known| known.user == notice.user && known.id == notice.id;
        let Some(known) = self.sessions.iter_mut().find(is_meant) else { return };
        if known.last == Some(notice.lead) && up(until) < known.next() {
            known.to_come.push((up(until), notice.lead));
            known.last = None;
        }
    }
}

struct Both {
    calendar: Calendar,
    model: Model,
    now: i64,
    given: Vec<Notice>,
}

impl Both {
    /// Takes out up to `max` notices. Says whether there may be more.
    fn due(&mut self, max: usize) -> Result<bool, TestCaseError> {
        let Self { calendar, model, now, given } = self;
        let notices = calendar.due(*now, max);
        let all = model.sessions.iter().filter(|known| known.due(*now).is_some()).count();
        prop_assert_eq!(notices.len(), all.min(max));
        for notice in &notices {
            let Notice { user, id, end, lead } = notice;
            let due = model.sessions.iter().filter(|known| known.due(*now).is_some());
            let oldest = due.clone().map(Known::next).min();
            let known = due.clone().find(|known| known.user == *user);
            let Some(known) = known else { return Err(TestCaseError::fail("not due")) };
            prop_assert_eq!((known.id, known.end), (*id, *end));
            prop_assert_eq!(known.due(*now), Some(*lead));
            prop_assert_eq!(Some(known.next()), oldest);
            model.given(notice);
        }
        let more = notices.len() == max;
        given.extend(notices);
        Ok(more)
    }

    fn all_due(&mut self) -> Result<(), TestCaseError> {
        while self.due(2)? {}
        let Self { calendar, model, now, .. } = self;
        model.sessions.retain(|known| !(known.over(*now) && known.next() <= down(*now)));
        let next = model.sessions.iter().map(Known::next).min();
        prop_assert_eq!(calendar.next_due(), next.map(|second| second * SECOND));
        prop_assert_eq!(calendar.len(), model.sessions.len());
        prop_assert_eq!(calendar.left_out(), model.left_out);
        Ok(())
    }

    fn forecast(&self, from: i64) -> Result<(), TestCaseError> {
        let mut expected = [0; 2];
        for known in &self.model.sessions {
            let seconds = down(known.end) - down(from);
            if (1..120).contains(&seconds) {
                expected[usize::from(seconds >= 60)] += 1;
            }
        }
        prop_assert_eq!(self.calendar.forecast(from, 2), expected);
        Ok(())
    }
}

proptest! {
    #[test]
    fn it_says_what_a_scan_of_all_sessions_says(start in -50 * SECOND..50 * SECOND, actions in actions()) {
        let leads = LEADS.into_iter().rev().map(Duration::from_millis).collect();
        let calendar = Calendar::new(leads, MAX_USERS);
        let mut both = Both { calendar, model: Model::default(), now: start, given: Vec::new() };
        let mut in_part = false;
        let user = |number: u8| UserId::new(number.to_string()).unwrap();
        for (number, action) in actions.into_iter().enumerate() {
            let now = both.now;
            match action {
                Action::Login(number_of_user, life) => {
                    // What a limit leaves out depends on what has ended.
                    if both.model.sessions.len() == MAX_USERS {
                        both.all_due()?;
                    }
                    let id = SessionId::from_bytes([number as u8; 16]);
                    both.calendar.arrived(&user(number_of_user), id, now + life, now);
                    both.model.arrived(&user(number_of_user), id, now + life, now);
                }
                Action::Again(number) => {
                    let user = user(number);
                    let known = both.model.sessions.iter().find(|known| known.user == user);
                    if let Some(&Known { id, end, .. }) = known {
                        both.calendar.arrived(&user, id, end, now);
                        both.model.arrived(&user, id, end, now);
                    }
                }
                Action::Gone(number) => {
                    both.calendar.gone(&user(number), |_| true);
                    both.model.gone(&user(number));
                }
                Action::Time(time) => {
                    // Which of the ended ones are out already only shows if the clock goes back.
                    if std::mem::take(&mut in_part) {
                        both.all_due()?;
                    }
                    both.now += time;
                }
                Action::Due(max) => {
                    both.due(max)?;
                    in_part = true;
                }
                Action::Hold(notice, time) => {
                    if let Some(notice) = both.given.iter().rev().nth(notice).cloned() {
                        both.calendar.hold(&notice, now + time);
                        both.model.hold(&notice, now + time);
                    }
                }
                Action::Forecast(time) => {
                    both.all_due()?;
                    both.forecast(now + time)?;
                }
            }
        }
        both.all_due()?;
        both.forecast(both.now)?;
    }
}
