//! Who takes care of a person who has to log in.
//!
//! Times run by the wall clock of the machine: all processes on the file have it, and it goes on
//! while the machine is off. A steady clock would be another one in each process, or begin anew when
//! the machine does. When the wall clock is set back, an entry lasts once more for its time at most;
//! when it is set forward, entries end early, and what then keeps a person from getting two messages
//! is her login under way.

use std::time::Duration;

use moojo_session::{
    DeclineReason, Lease, LeaseHolder, LeaseStore, StoreError, UserId, async_trait,
};
use rusqlite::{Connection, OptionalExtension};

use crate::error::Failure;
use crate::store::SqliteStore;
use crate::times::{nanos, span};

const FIND: &str = "select holder, declined, until, time from leases where user = ?1";

const TAKE: &str = "
    insert into leases (user, holder, declined, until, time) values (?1, ?2, null, ?3, ?4)
    on conflict (user) do update set
        holder = excluded.holder, declined = null, until = excluded.until, time = excluded.time";

const SHORTEN: &str = "update leases set until = ?2 where user = ?1";

const RELEASE: &str = "
    delete from leases where user = ?1 and holder = ?2 and declined is null and until > ?3";

const DECLINE: &str = "
    update leases set declined = ?4, until = ?5, time = ?6
    where user = ?1 and holder = ?2 and declined is null and until > ?3";

const CLEAR: &str = "delete from leases where user = ?1";

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        let (user, holder, clock) = (user.clone(), holder.to_bytes(), self.clock());
        let time = span(time);
        // The clock is read once the lock is had, so that times go up in the order of the calls.
        let acquire =
            move |db: &Connection| acquire(db, user.as_str(), holder, time, nanos(clock.now()));
        self.writes().call(acquire).await
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        let (user, holder, clock) = (user.clone(), holder.to_bytes(), self.clock());
        let release = move |db: &Connection| {
            let mut sql = db.prepare_cached(RELEASE)?;
            Ok(sql.execute((user.as_str(), holder, nanos(clock.now())))? > 0)
        };
        self.writes().call(release).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let (user, holder, clock) = (user.clone(), holder.to_bytes(), self.clock());
        let (reason, time) = (i64::from(reason.to_number()), span(time));
        let decline = move |db: &Connection| {
            let now = nanos(clock.now());
            let until = now.saturating_add(time);
            let mut sql = db.prepare_cached(DECLINE)?;
            Ok(sql.execute((user.as_str(), holder, now, reason, until, time))? > 0)
        };
        self.writes().call(decline).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        let user = user.clone();
        let clear = move |db: &Connection| {
            db.prepare_cached(CLEAR)?.execute((user.as_str(),))?;
            Ok(())
        };
        self.writes().call(clear).await
    }
}

struct Entry {
    holder: [u8; 16],
    declined: Option<i64>,
    until: i64,
    time: i64,
}

fn acquire(
    db: &Connection,
    user: &str,
    holder: [u8; 16],
    time: i64,
    now: i64,
) -> Result<Lease, Failure> {
    let entry = db
        .prepare_cached(FIND)?
        .query_row((user,), |row| {
            let (holder, declined) = (row.get(0)?, row.get(1)?);
            Ok(Entry { holder, declined, until: row.get(2)?, time: row.get(3)? })
        })
        .optional()?;
    if let Some(entry) = entry.filter(|entry| now < entry.until) {
        let left = (entry.until - now).min(entry.time);
        let is_own = entry.declined.is_none() && entry.holder == holder;
        if !is_own && left < entry.until - now {
            // The clock was set back since.
            db.prepare_cached(SHORTEN)?.execute((user, now.saturating_add(left)))?;
        }
        let left = Duration::from_nanos(left.unsigned_abs());
        match entry.declined {
            Some(reason) => return Ok(Lease::Declined(reason_of(reason)?, left)),
            None if !is_own => return Ok(Lease::Held(left)),
            None => {}
        }
    }
    db.prepare_cached(TAKE)?.execute((user, holder, now.saturating_add(time), time))?;
    Ok(Lease::Acquired)
}

fn reason_of(number: i64) -> Result<DeclineReason, StoreError> {
    let reason = u8::try_from(number).ok().and_then(DeclineReason::from_number);
    reason
        .ok_or_else(|| StoreError::corrupt("a reason that this version of the store does not know"))
}
