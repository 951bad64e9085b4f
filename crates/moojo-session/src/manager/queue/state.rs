//! The open requests: who has to log in again, and who takes care of it.
//!
//! A value that time and calls move; it knows no clock, no lock and no task. All moments are
//! nanoseconds of the steady clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::request::ReauthRequest;
use crate::reauth::{DeclineReason, Declined, Purpose, ReauthReason, ReauthRequired};
use crate::session::Session;
use crate::user::UserId;

mod entry;
#[cfg(test)]
mod tests;

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

pub(super) struct Claimed {
    pub(super) claim: u64,
    /// Until when it was put aside.
    pub(super) aside: Moment,
    pub(super) request: ReauthRequest,
    pub(super) over: oneshot::Receiver<()>,
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

    /// Claims the next open request, or that of `user`, even if it is put aside.
    pub(super) fn claim(
        &mut self,
        user: Option<&UserId>,
        until: Moment,
        now: Moment,
    ) -> Option<Claimed> {
        self.advance(now);
        let user = match user {
            Some(user) => user.clone(),
            None => self.open.first_key_value()?.1.clone(),
        };
        if !matches!(self.entries.get(&user)?.status, Status::Open | Status::Held) {
            return None;
        }
        let mut entry = self.take(&user)?;
        self.last += 1;
        let (alive, over) = oneshot::channel();
        let claim = self.last;
        let aside = if matches!(entry.status, Status::Held) { entry.timer } else { 0 };
        entry.status = Status::Claimed { claim, _alive: alive };
        entry.timer = until;
        let request = entry.snapshot(&user);
        self.put(user, entry);
        Some(Claimed { claim, aside, request, over })
    }

    /// Hands it out to be cared for until then, if the claim still holds and has not been handed out.
    pub(super) fn hand_out(
        &mut self,
        user: &UserId,
        claim: u64,
        until: Moment,
        now: Moment,
    ) -> Option<ReauthRequest> {
        self.advance(now);
        self.change(user, claim, |entry| {
            entry.timer = until;
            entry.handed_out = entry.handed_out.saturating_add(1);
        });
        self.claimed_by(user, claim).map(|entry| entry.snapshot(user))
    }

    /// The request as it is now, if the claim still holds.
    pub(super) fn look(&mut self, user: &UserId, claim: u64, now: Moment) -> Option<ReauthRequest> {
        self.advance(now);
        self.claimed_by(user, claim).map(|entry| entry.snapshot(user))
    }

    /// When the claim ends by itself, if it still holds.
    pub(super) fn lease_end(&mut self, user: &UserId, claim: u64, now: Moment) -> Option<Moment> {
        self.advance(now);
        self.claimed_by(user, claim).map(|entry| entry.timer)
    }

    /// Claims it for longer, if the claim still holds.
    pub(super) fn renew(&mut self, user: &UserId, claim: u64, until: Moment, now: Moment) -> bool {
        self.advance(now);
        self.change(user, claim, |entry| entry.timer = until)
    }

    /// Gives it back, to be handed out again from `from` on.
    pub(super) fn release(&mut self, user: &UserId, claim: u64, from: Moment, now: Moment) -> bool {
        self.advance(now);
        let held = self.change(user, claim, |entry| {
            entry.status = Status::Held;
            entry.timer = from;
        });
        self.advance(now);
        held
    }

    /// Ends it for all who wait, and for those who would until `until`.
    pub(super) fn decline(
        &mut self,
        user: &UserId,
        claim: u64,
        (reason, until_wall): (DeclineReason, DateTime<Utc>),
        until: Moment,
        now: Moment,
    ) -> Option<Declined> {
        self.advance(now);
        let declined = Declined::new(user.clone(), reason, until_wall);
        let holds = self.change(user, claim, |entry| {
            entry.declined = Some((entry.generation, declined.clone()));
            entry.status = Status::Declined { until };
            entry.timer = until;
        });
        holds.then(|| {
            self.advance(now);
            declined
        })
    }

    /// Closes the claimed request if the session that has come is enough by now.
    pub(super) fn finish(&mut self, user: &UserId, claim: u64, came: Came) -> bool {
        self.claimed_by(user, claim).is_some() && self.close(user, came)
    }

    /// Closes the claimed request if no call waits for it: one that comes at the same time either
    /// is seen here or opens another.
    pub(super) fn close_unless_awaited(&mut self, user: &UserId, claim: u64) -> bool {
        let unawaited = self.claimed_by(user, claim).is_some_and(|entry| entry.waiting == 0);
        unawaited && self.take(user).is_some()
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

    fn claimed_by(&self, user: &UserId, claim: u64) -> Option<&Entry> {
        self.entries.get(user).filter(|entry| entry.is_claimed_by(claim))
    }

    /// Changes the entry if the claim still holds. Says whether it does.
    fn change(&mut self, user: &UserId, claim: u64, change: impl FnOnce(&mut Entry)) -> bool {
        if self.claimed_by(user, claim).is_none() {
            return false;
        }
        let Some(mut entry) = self.take(user) else { return false };
        change(&mut entry);
        self.put(user.clone(), entry);
        true
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
