//! The open requests: who has to log in again, and who takes care of it.
//!
//! A value that time and calls move; it knows no clock, no lock and no task. All moments are
//! nanoseconds of the steady clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chrono::{DateTime, Utc};

use super::request::ReauthRequest;
use crate::reauth::{Declined, Purpose, ReauthReason, ReauthRequired};
use crate::session::Session;
use crate::user::UserId;

mod claims;
mod entry;
#[cfg(test)]
mod tests;

pub(super) use claims::Claimed;
use entry::{Entry, Status};

/// How many requests are looked at to find room.
const MAX_LOOKS: usize = 1024;

pub(super) type Moment = u64;

/// Tells apart the requests of one user, one after the other. It goes up.
type Generation = u64;

/// A waiting call's place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) struct Place {
    generation: Generation,
    /// Whether its purpose is among those that are told.
    told: bool,
}

pub(super) struct Requests {
    entries: BTreeMap<UserId, Entry>,
    /// Those that wait for somebody to claim them: those that were handed out least often first, so
    /// that one whose workers crash holds up nobody, and among these the oldest.
    open: BTreeMap<(u32, Generation), UserId>,
    /// When time by itself changes an entry. Each has one such moment.
    timers: BTreeSet<(Moment, UserId)>,
    last: Generation,
    max: usize,
    life: u64,
}

/// Why somebody who has to log in is not asked.
pub(in crate::manager) enum Refused {
    Declined(Declined),
    Full,
}

/// What a call wants when it finds no session.
pub(in crate::manager) struct Want<'a> {
    user: &'a UserId,
    reason: ReauthReason,
    since: DateTime<Utc>,
    needed_end: Option<i64>,
}

impl<'a> Want<'a> {
    pub(in crate::manager) fn new(signal: &'a ReauthRequired, needed_end: Option<i64>) -> Self {
        let (user, reason, since) = (signal.user(), signal.reason(), signal.at());
        Self { user, reason, since, needed_end }
    }
}

/// What there is to know of a session that has come.
#[derive(Clone, Copy)]
pub(in crate::manager) struct Came {
    issued: DateTime<Utc>,
    end: i64,
}

impl Came {
    pub(in crate::manager) fn of(session: &Session) -> Self {
        Self { issued: session.issued_at(), end: session.expires_nanos() }
    }
}

impl Requests {
    pub(super) fn new(max: usize, life: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            open: BTreeMap::new(),
            timers: BTreeSet::new(),
            last: 0,
            max,
            life,
        }
    }

    pub(super) fn len(&mut self, now: Moment) -> usize {
        self.advance(now);
        self.entries.values().filter(|entry| !entry.is_declined()).count()
    }

    /// With those that are remembered because they were declined.
    pub(super) fn total(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn has(&self, user: &UserId) -> bool {
        self.entries.contains_key(user)
    }

    pub(super) fn declined(&self) -> Vec<UserId> {
        let declined = self.entries.iter().filter(|(_, entry)| entry.is_declined());
        declined.map(|(user, _)| user.clone()).collect()
    }

    /// When there is next something to claim, as far as is known: at once, or when time changes
    /// something.
    pub(super) fn next_look(&self) -> Option<Moment> {
        if !self.open.is_empty() {
            return Some(0);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// Requests after this user in the order of their names.
    pub(super) fn list(
        &mut self,
        after: Option<&UserId>,
        max: usize,
        now: Moment,
    ) -> Vec<ReauthRequest> {
        self.advance(now);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let others = self.entries.range::<UserId, _>((after, Bound::Unbounded));
        let open = others.filter(|(_, entry)| !entry.is_declined());
        open.take(max).map(|(user, entry)| entry.snapshot(user)).collect()
    }

    /// Somebody has to log in. Says which request that is, and whether it is a new one.
    pub(super) fn want(
        &mut self,
        want: &Want<'_>,
        now: Moment,
    ) -> Result<(Generation, bool), Refused> {
        self.advance(now);
        let lapses = now.saturating_add(self.life);
        if let Some(entry) = self.entries.get_mut(want.user) {
            match &entry.status {
                Status::Declined { until } if now < *until => {
                    if let Some((_, declined)) = &entry.declined {
                        return Err(Refused::Declined(declined.clone()));
                    }
                }
                // Over, but some who waited then have not left yet.
                Status::Declined { .. } => {}
                Status::Open | Status::Claimed { .. } | Status::Held => {
                    entry.lapses = lapses;
                    entry.needed_end = entry.needed_end.max(want.needed_end);
                    return Ok((entry.generation, false));
                }
            }
        } else if self.entries.len() >= self.max {
            return Err(Refused::Full);
        }
        self.last += 1;
        let declined = self.take(want.user).and_then(|entry| entry.declined);
        let entry = Entry {
            generation: self.last,
            reason: want.reason,
            since: want.since,
            needed_end: want.needed_end,
            waiting: 0,
            purposes: Vec::new(),
            lapses,
            handed_out: 0,
            status: Status::Open,
            declined,
            timer: lapses,
        };
        self.put(want.user.clone(), entry);
        Ok((self.last, true))
    }

    /// As [`Requests::want`], for a call that waits; `place` is the one that it had.
    pub(super) fn join(
        &mut self,
        want: &Want<'_>,
        purpose: Option<&Purpose>,
        place: Option<Place>,
        now: Moment,
    ) -> Result<(Place, bool), Refused> {
        let declined = self.entries.get(want.user).and_then(|entry| entry.declined.as_ref());
        if let (Some(place), Some((last, declined))) = (place, declined)
            && place.generation <= *last
        {
            return Err(Refused::Declined(declined.clone()));
        }
        self.advance(now);
        if self.entries.len() >= self.max && !self.entries.contains_key(want.user) {
            self.make_way();
        }
        let (generation, new) = self.want(want, now)?;
        if let Some(place) = place.filter(|place| place.generation == generation) {
            return Ok((place, new));
        }
        let mut told = false;
        if let Some(entry) = self.entries.get_mut(want.user) {
            entry.waiting += 1;
            told = purpose.is_some_and(|purpose| entry.tell(purpose));
        }
        Ok((Place { generation, told }, new))
    }

    /// Lets go of an open request that no call waits for, if there is one among the next to lapse:
    /// failed calls for any number of users keep out none that waits.
    fn make_way(&mut self) {
        let mut next = self.timers.iter().take(MAX_LOOKS).map(|(_, user)| user);
        let unawaited = |user: &&UserId| self.entries.get(*user).is_some_and(Entry::is_unawaited);
        if let Some(user) = next.find(unawaited).cloned() {
            self.take(&user);
        }
    }

    /// A call does not wait any more.
    pub(super) fn leave(
        &mut self,
        user: &UserId,
        place: Place,
        purpose: Option<&Purpose>,
        now: Moment,
    ) {
        let entry = self.entries.get_mut(user);
        let Some(entry) = entry.filter(|entry| entry.generation == place.generation) else {
            return;
        };
        entry.waiting -= 1;
        if let Some(purpose) = purpose.filter(|_| place.told) {
            entry.untell(purpose);
        }
        let over = match entry.status {
            Status::Open => entry.is_unwanted(now),
            Status::Declined { until } => entry.waiting == 0 && until <= now,
            Status::Claimed { .. } | Status::Held => false,
        };
        if over {
            self.take(user);
        }
    }

    /// A session has come. Says whether there was a request that it answers.
    pub(super) fn close(&mut self, user: &UserId, came: Came) -> bool {
        let answered = |entry: &Entry| entry.is_answered_by(came);
        self.entries.get(user).is_some_and(answered) && self.take(user).is_some()
    }

    /// What the time has brought about.
    fn advance(&mut self, now: Moment) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let Some((_, user)) = self.timers.pop_first() else { return };
            let Some(mut entry) = self.take(&user) else { continue };
            match entry.status {
                Status::Declined { .. } if entry.waiting == 0 => continue,
                Status::Declined { .. } => {}
                _ if entry.is_unwanted(now) => continue,
                Status::Open | Status::Claimed { .. } | Status::Held => entry.status = Status::Open,
            }
            // While calls wait, which have deadlines of their own, it is looked at again.
            let again = now.saturating_add(self.life / 8 + 1);
            entry.timer = if entry.lapses > now { entry.lapses } else { again };
            self.put(user, entry);
        }
    }

    fn take(&mut self, user: &UserId) -> Option<Entry> {
        let entry = self.entries.remove(user)?;
        self.timers.remove(&(entry.timer, user.clone()));
        self.open.remove(&(entry.handed_out, entry.generation));
        Some(entry)
    }

    fn put(&mut self, user: UserId, entry: Entry) {
        self.timers.insert((entry.timer, user.clone()));
        if matches!(entry.status, Status::Open) {
            self.open.insert((entry.handed_out, entry.generation), user.clone());
        }
        self.entries.insert(user, entry);
    }
}
