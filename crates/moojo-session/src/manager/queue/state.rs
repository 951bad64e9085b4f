//! The open requests: who has to log in again, and who takes care of it.
//!
//! A value that time and calls move; it knows no clock, no lock and no task. All moments are
//! nanoseconds of the steady clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::reauth::{DeclineReason, Declined, Purpose, ReauthReason, ReauthRequired};
use crate::user::UserId;

/// Different purposes that are told of one request; those beyond are just counted among the calls.
const MAX_PURPOSES: usize = 8;

pub(super) type Moment = u64;

/// Tells apart the requests of one user, one after the other. It goes up.
pub(in crate::manager) type Generation = u64;

pub(super) struct Requests {
    entries: HashMap<UserId, Entry>,
    /// Those that wait for somebody to claim them, oldest first.
    open: BTreeMap<Generation, UserId>,
    /// When time by itself changes an entry. Each has one such moment.
    timers: BTreeSet<(Moment, UserId)>,
    last: Generation,
    max: usize,
    life: u64,
}

struct Entry {
    generation: Generation,
    reason: ReauthReason,
    since: DateTime<Utc>,
    /// The wall clock's nanoseconds at which a session has to live still. `None`: any will do.
    needed_end: Option<i64>,
    waiting: usize,
    purposes: Vec<(Purpose, usize)>,
    /// When it is given up if nobody waits for it.
    lapses: Moment,
    handed_out: u32,
    status: Status,
    /// The last time that the person declined: for those who have waited for that generation, or an
    /// earlier one.
    declined: Option<(Generation, Declined)>,
    timer: Moment,
}

enum Status {
    Open,
    /// Somebody takes care of it. The sender goes when that is over.
    Claimed {
        claim: u64,
        _alive: oneshot::Sender<()>,
    },
    /// Not to be handed out yet.
    Held,
    /// Nobody is asked before then.
    Declined {
        until: Moment,
    },
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

/// A request as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) user: UserId,
    pub(super) reason: ReauthReason,
    pub(super) since: DateTime<Utc>,
    pub(super) needed_end: Option<i64>,
    pub(super) waiting: usize,
    pub(super) purposes: Vec<Purpose>,
    pub(super) handed_out: u32,
}

pub(super) struct Claimed {
    pub(super) claim: u64,
    pub(super) request: Snapshot,
    pub(super) over: oneshot::Receiver<()>,
}

impl Requests {
    pub(super) fn new(max: usize, life: u64) -> Self {
        Self {
            entries: HashMap::new(),
            open: BTreeMap::new(),
            timers: BTreeSet::new(),
            last: 0,
            max,
            life,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.values().filter(|entry| !entry.is_declined()).count()
    }

    /// With those that are remembered because they were declined.
    pub(super) fn total(&self) -> usize {
        self.entries.len()
    }

    /// When time next changes anything.
    pub(super) fn next_timer(&self) -> Option<Moment> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Requests after this user in the order of their names.
    pub(super) fn list(&self, after: Option<&UserId>, max: usize) -> Vec<Snapshot> {
        let mut users: Vec<_> = self
            .entries
            .iter()
            .filter(|(user, entry)| !entry.is_declined() && after.is_none_or(|after| *user > after))
            .collect();
        users.sort_unstable_by_key(|(user, _)| *user);
        users.into_iter().take(max).map(|(user, entry)| entry.snapshot(user)).collect()
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

    /// As [`Requests::want`], for a call that waits; `joined` is the request it has waited for.
    pub(super) fn join(
        &mut self,
        want: &Want<'_>,
        purpose: Option<&Purpose>,
        joined: Option<Generation>,
        now: Moment,
    ) -> Result<(Generation, bool), Refused> {
        let declined = self.entries.get(want.user).and_then(|entry| entry.declined.as_ref());
        if let (Some(joined), Some((last, declined))) = (joined, declined)
            && joined <= *last
        {
            return Err(Refused::Declined(declined.clone()));
        }
        let (generation, new) = self.want(want, now)?;
        if joined != Some(generation)
            && let Some(entry) = self.entries.get_mut(want.user)
        {
            entry.waiting += 1;
            if let Some(purpose) = purpose {
                entry.add(purpose);
            }
        }
        Ok((generation, new))
    }

    /// A call does not wait any more.
    pub(super) fn leave(
        &mut self,
        user: &UserId,
        joined: Generation,
        purpose: Option<&Purpose>,
        now: Moment,
    ) {
        let Some(entry) = self.entries.get_mut(user).filter(|e| e.generation == joined) else {
            return;
        };
        entry.waiting -= 1;
        if let Some(purpose) = purpose {
            entry.subtract(purpose);
        }
        let over = matches!(entry.status, Status::Declined { until } if until <= now);
        if over && entry.waiting == 0 {
            self.take(user);
        }
    }

    /// A session has come that ends at `end`. Says whether there was a request that it answers.
    pub(super) fn close(&mut self, user: &UserId, end: i64) -> bool {
        let answered = |entry: &Entry| entry.needed_end.is_none_or(|needed| needed <= end);
        self.entries.get(user).is_some_and(answered) && self.take(user).is_some()
    }

    /// Hands out the oldest open request, or that of `user`.
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
        if !matches!(self.entries.get(&user)?.status, Status::Open) {
            return None;
        }
        let mut entry = self.take(&user)?;
        self.last += 1;
        let (alive, over) = oneshot::channel();
        let claim = self.last;
        entry.status = Status::Claimed { claim, _alive: alive };
        entry.timer = until;
        entry.handed_out += 1;
        let request = entry.snapshot(&user);
        self.put(user, entry);
        Some(Claimed { claim, request, over })
    }

    /// The request as it is now, if the claim still holds.
    pub(super) fn look(&mut self, user: &UserId, claim: u64, now: Moment) -> Option<Snapshot> {
        self.advance(now);
        Some(self.entries.get(user).filter(|entry| entry.is_claimed_by(claim))?.snapshot(user))
    }

    /// When the claim ends by itself, if it still holds.
    pub(super) fn lease_end(&mut self, user: &UserId, claim: u64, now: Moment) -> Option<Moment> {
        self.advance(now);
        Some(self.entries.get(user).filter(|entry| entry.is_claimed_by(claim))?.timer)
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

    /// Ends a claim whose request needs nobody any more.
    pub(super) fn finish(&mut self, user: &UserId, claim: u64) -> bool {
        self.entries.get(user).is_some_and(|entry| entry.is_claimed_by(claim))
            && self.take(user).is_some()
    }

    /// What the time has brought about.
    fn advance(&mut self, now: Moment) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let Some((_, user)) = self.timers.pop_first() else { return };
            let Some(mut entry) = self.take(&user) else { continue };
            match entry.status {
                Status::Claimed { .. } | Status::Held => entry.status = Status::Open,
                Status::Open if entry.waiting == 0 && entry.lapses <= now => continue,
                Status::Declined { .. } if entry.waiting == 0 => continue,
                Status::Open | Status::Declined { .. } => {}
            }
            // Those who wait have deadlines of their own.
            entry.timer = entry.lapses.max(now.saturating_add(self.life / 8 + 1));
            self.put(user, entry);
        }
    }

    fn change(&mut self, user: &UserId, claim: u64, change: impl FnOnce(&mut Entry)) -> bool {
        if !self.entries.get(user).is_some_and(|entry| entry.is_claimed_by(claim)) {
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
        self.open.remove(&entry.generation);
        Some(entry)
    }

    fn put(&mut self, user: UserId, entry: Entry) {
        self.timers.insert((entry.timer, user.clone()));
        if matches!(entry.status, Status::Open) {
            self.open.insert(entry.generation, user.clone());
        }
        self.entries.insert(user, entry);
    }
}

impl Entry {
    fn is_declined(&self) -> bool {
        matches!(self.status, Status::Declined { .. })
    }

    fn is_claimed_by(&self, claim: u64) -> bool {
        matches!(self.status, Status::Claimed { claim: by, .. } if by == claim)
    }

    fn add(&mut self, purpose: &Purpose) {
        match self.purposes.iter().position(|(other, _)| other == purpose) {
            Some(at) => self.purposes[at].1 += 1,
            None if self.purposes.len() < MAX_PURPOSES => self.purposes.push((purpose.clone(), 1)),
            None => {}
        }
    }

    fn subtract(&mut self, purpose: &Purpose) {
        if let Some((_, calls)) = self.purposes.iter_mut().find(|(other, _)| other == purpose) {
            *calls = calls.saturating_sub(1);
        }
        self.purposes.retain(|(_, calls)| *calls > 0);
    }

    fn snapshot(&self, user: &UserId) -> Snapshot {
        Snapshot {
            user: user.clone(),
            reason: self.reason,
            since: self.since,
            needed_end: self.needed_end,
            waiting: self.waiting,
            purposes: self.purposes.iter().map(|(purpose, _)| purpose.clone()).collect(),
            handed_out: self.handed_out,
        }
    }
}
