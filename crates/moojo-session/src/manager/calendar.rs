//! When sessions end: notices at set times before it, and how many end in which minute.
//!
//! Nothing here scans. Every session has one appointment at a time, its next notice or else its
//! end, in an agenda by the second; what a look costs follows what comes due. A session that is
//! replaced or gone is taken out at once, so nothing stale piles up however often a user logs in.
//! There is no clock in here either: `now` is what the caller says, in nanoseconds of Unix time.
//!
//! Time is kept in whole seconds. A notice comes within the second in which it is due, so up to one
//! second early and never late; a held one comes up to one second late and never early, so that
//! who holds it until quiet hours are over does not find it still within them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use parking_lot::Mutex;

use self::agenda::Agenda;
use self::roster::{Entry, Roster};
use crate::session::SessionId;
use crate::user::UserId;

mod agenda;
#[cfg(test)]
mod model;
mod pages;
mod roster;
#[cfg(test)]
mod tests;

const SECOND: i64 = 1_000_000_000;

/// The ends of the sessions that this process knows.
pub(super) struct Calendar(Mutex<State>);

/// A session is about to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) user: UserId,
    pub(super) id: SessionId,
    /// When the session ends, in nanoseconds of Unix time.
    pub(super) end: i64,
    /// Which of the times before the end this notice is for. Less may be left.
    pub(super) lead: Duration,
}

impl Calendar {
    /// A calendar of at most `max` users that gives a notice at each of `leads` before the end of a
    /// session. A lead of nothing is left out, for a session that has ended gives no notice, and of
    /// more than 65,535 leads the shortest.
    pub(super) fn new(leads: Vec<Duration>, max: usize) -> Self {
        let nanos = |lead: &Duration| i64::try_from(lead.as_nanos()).unwrap_or(i64::MAX);
        let mut leads: Vec<i64> = leads.iter().map(nanos).filter(|lead| *lead > 0).collect();
        leads.sort_unstable_by(|a, b| b.cmp(a));
        leads.dedup();
        leads.truncate(usize::from(u16::MAX));
        Self(Mutex::new(State {
            leads,
            max: max.min(Roster::MAX),
            roster: Roster::default(),
            agenda: Agenda::default(),
            ending: BTreeMap::new(),
            left_out: 0,
            #[cfg(test)]
            looks: 0,
        }))
    }

    /// This session is the user's, in place of any other. If that is known, nothing changes. Gives
    /// the other that was here, and its end.
    ///
    /// Leads that are past by now give no notice: a process that starts and loads a thousand
    /// sessions shortly before their end does not write to a thousand people at once. One that has
    /// ended only takes the other's place.
    pub(super) fn arrived(
        &self,
        user: &UserId,
        id: SessionId,
        end: i64,
        now: i64,
    ) -> Option<(SessionId, i64)> {
        let mut state = self.0.lock();
        let other = state.known(user).filter(|known| known.0 != id);
        state.arrived(user, id, end, now);
        other
    }

    /// The user does not have this session any more, if the one that is here `is_gone`. Gives that,
    /// and its end.
    pub(super) fn gone(
        &self,
        user: &UserId,
        is_gone: impl FnOnce(SessionId) -> bool,
    ) -> Option<(SessionId, i64)> {
        let mut state = self.0.lock();
        let index = state.roster.find(user)?;
        let Entry { id, end, .. } = state.roster.entries()[index];
        is_gone(id).then(|| {
            state.remove(index);
            (id, end)
        })
    }

    /// Takes out up to `max` notices that are due, oldest first by the second, and lets go of the
    /// sessions that have ended. Who has several due gets the one closest to the end.
    pub(super) fn due(&self, now: i64, max: usize) -> Vec<Notice> {
        let mut notices = Vec::new();
        while notices.len() < max {
            // Locked anew each time: a login need not wait until a long absence is caught up with.
            match self.0.lock().step(now) {
                Step::Notice(notice) => notices.push(notice),
                Step::Ended => {}
                Step::NothingDue => break,
            }
        }
        notices
    }

    /// Puts a notice off: it comes due again at `until`, unless the session goes or is replaced, or
    /// has ended by then. A notice for the next lead, if that comes first, stands for both.
    pub(super) fn hold(&self, notice: &Notice, until: i64) {
        self.0.lock().hold(notice, until);
    }

    /// When [`due`](Self::due) has something to do again: a notice, or a session that has ended. If
    /// `due` gave fewer notices than it might, this is later than its `now`.
    pub(super) fn next_due(&self) -> Option<i64> {
        let (second, _) = self.0.lock().agenda.first()?;
        Some(second.saturating_mul(SECOND))
    }

    /// How many sessions end in each of so many minutes from the second of `from` on. Those that
    /// end within that very second count as ended.
    pub(super) fn forecast(&self, from: i64, minutes: usize) -> Vec<usize> {
        let mut forecast = vec![0; minutes];
        self.0.lock().forecast(second(from), &mut forecast);
        forecast
    }

    /// How many sessions are known. Those that have ended count until they are taken out by
    /// [`due`](Self::due).
    pub(super) fn len(&self) -> usize {
        self.0.lock().roster.len()
    }

    /// How many arrivals found no room. Their users get no notices and are in no forecast, until they
    /// arrive again and there is room.
    pub(super) fn left_out(&self) -> u64 {
        self.0.lock().left_out
    }
}

struct State {
    /// In nanoseconds, the longest first: in the order in which they come due.
    leads: Vec<i64>,
    max: usize,
    roster: Roster,
    agenda: Agenda,
    /// How many sessions end in a second.
    ending: BTreeMap<i64, u32>,
    left_out: u64,
    /// How many entries and counts were looked at.
    #[cfg(test)]
    looks: usize,
}

enum Step {
    Notice(Notice),
    Ended,
    NothingDue,
}

impl State {
    fn known(&self, user: &UserId) -> Option<(SessionId, i64)> {
        let entry = &self.roster.entries()[self.roster.find(user)?];
        Some((entry.id, entry.end))
    }

    fn arrived(&mut self, user: &UserId, id: SessionId, end: i64, now: i64) {
        let known = self.roster.find(user);
        if known.is_some_and(|index| self.roster.entries()[index].id == id) {
            return;
        }
        if known.is_none() && end > now {
            self.make_room(now);
        }
        let index = match known {
            Some(index) if end <= now => return self.remove(index),
            None if end <= now => return,
            Some(index) => {
                self.strike(index);
                let entry = &mut self.roster.entries_mut()[index];
                (entry.id, entry.end) = (id, end);
                index
            }
            None if self.roster.len() >= self.max => {
                self.left_out += 1;
                return;
            }
            None => self.roster.insert(Entry::new(user.clone(), id, end)),
        };
        *self.ending.entry(second(end)).or_default() += 1;
        let lead = self.leads.partition_point(|lead| end.saturating_sub(*lead) <= now);
        self.appoint(index, lead, self.second_of(end, lead));
    }

    /// Lets go of a session that has ended, if it is needed: perhaps nobody takes what is due.
    fn make_room(&mut self, now: i64) {
        let Some((due, first)) = self.agenda.first() else { return };
        let has_ended = due <= second(now) && self.roster.entries()[first].end <= now;
        if has_ended && self.roster.len() >= self.max {
            self.remove(first);
        }
    }

    /// What is first due, if anything is.
    fn step(&mut self, now: i64) -> Step {
        let Some((_, index)) = self.agenda.first().filter(|(due, _)| *due <= second(now)) else {
            return Step::NothingDue;
        };
        #[cfg(test)]
        {
            self.looks += 1;
        }
        let Entry { id, end, lead, .. } = self.roster.entries()[index];
        if end <= now || usize::from(lead) >= self.leads.len() {
            self.remove(index);
            return Step::Ended;
        }
        // Of the leads that are due, the last.
        let mut next = usize::from(lead) + 1;
        while next < self.leads.len() && self.second_of(end, next) <= second(now) {
            next += 1;
        }
        self.agenda.remove(self.roster.entries_mut(), index);
        self.appoint(index, next, self.second_of(end, next));
        let user = self.roster.entries()[index].user.clone();
        let lead = Duration::from_nanos(self.leads[next - 1].unsigned_abs());
        Step::Notice(Notice { user, id, end, lead })
    }

    fn hold(&mut self, notice: &Notice, until: i64) {
        let Some(index) = self.roster.find(&notice.user) else { return };
        let Entry { id, end, lead: next, held, .. } = self.roster.entries()[index];
        // Of a session that was replaced; on hold already.
        if id != notice.id || held {
            return;
        }
        // Overtaken by the notice of the next lead.
        let Some(last) = usize::from(next).checked_sub(1) else { return };
        if Duration::from_nanos(self.leads[last].unsigned_abs()) != notice.lead {
            return;
        }
        let until = second_after(until);
        // What comes next, another notice or the end, makes this one pointless.
        if until < self.second_of(end, last + 1) {
            self.agenda.remove(self.roster.entries_mut(), index);
            self.appoint(index, last, until);
            self.roster.entries_mut()[index].held = true;
        }
    }

    fn forecast(&mut self, from: i64, minutes: &mut [usize]) {
        for (second, ending) in self.ending.range((Excluded(from), Unbounded)) {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let minute = usize::try_from((second - from) / 60).unwrap_or(usize::MAX);
            let Some(minute) = minutes.get_mut(minute) else { break };
            *minute += *ending as usize;
        }
    }

    /// In which second the notice for a lead is due; past the last lead, when the session has ended.
    fn second_of(&self, end: i64, lead: usize) -> i64 {
        match self.leads.get(lead) {
            Some(lead) => second(end.saturating_sub(*lead)),
            None => second_after(end),
        }
    }

    fn appoint(&mut self, index: u32, lead: usize, second: i64) {
        let entry = &mut self.roster.entries_mut()[index];
        entry.lead = u16::try_from(lead).expect("there are at most u16::MAX leads");
        entry.held = false;
        self.agenda.add(self.roster.entries_mut(), index, second);
    }

    /// Takes an entry out of the agenda and the forecast.
    fn strike(&mut self, index: u32) {
        let end = self.roster.entries()[index].end;
        if let Slot::Occupied(mut ending) = self.ending.entry(second(end)) {
            *ending.get_mut() -= 1;
            if *ending.get() == 0 {
                ending.remove();
            }
        }
        self.agenda.remove(self.roster.entries_mut(), index);
    }

    fn remove(&mut self, index: u32) {
        self.strike(index);
        if self.roster.remove(index) {
            self.agenda.moved_to(self.roster.entries_mut(), index);
        }
    }
}

/// The second in which a time lies.
fn second(nanos: i64) -> i64 {
    nanos.div_euclid(SECOND)
}

/// The first second that begins at a time or after it.
fn second_after(nanos: i64) -> i64 {
    second(nanos) + i64::from(nanos.rem_euclid(SECOND) != 0)
}
