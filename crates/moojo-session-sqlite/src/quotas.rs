//! Counting what was sent, by the callers' clocks.

use chrono::{DateTime, Utc};
use moojo_session::{Admission, Quota, StoreError};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use crate::error::Failure;
use crate::store::SqliteStore;
use crate::times::{nanos, span};

const USES: &str = "select ends from quotas where key = ?1";

const WRITE: &str = "
    insert into quotas (key, ends, keep_until) values (?1, ?2, ?3)
    on conflict (key) do update set
        ends = excluded.ends, keep_until = max(keep_until, excluded.keep_until)";

pub(crate) async fn admit(
    store: &SqliteStore,
    quota: &Quota<'_>,
    now: DateTime<Utc>,
) -> Result<Admission, StoreError> {
    // A phone number is in it.
    let key = Zeroizing::new(quota.key.to_owned());
    let (limit, now, window) = (quota.limit as usize, nanos(now), span(quota.window));
    let end = now.saturating_add(window);
    // A use that ends still later was counted before the clock was set back.
    let last = end.saturating_add(window);
    let keep_until = nanos(store.now()).saturating_add(window);
    let admit = move |db: &Connection| {
        let mut ends = uses(db, &key)?;
        ends.retain(|end| now < *end && *end <= last);
        if limit <= ends.len() {
            let until = ends.iter().min().copied().unwrap_or(end);
            return Ok(Admission::Refused { until: DateTime::from_timestamp_nanos(until) });
        }
        ends.push(end);
        write(db, &key, &ends, keep_until)?;
        Ok(Admission::Granted)
    };
    store.writes().call(admit).await
}

pub(crate) async fn give_back(
    store: &SqliteStore,
    quota: &Quota<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let key = Zeroizing::new(quota.key.to_owned());
    let (now, keep_until) = (nanos(now), nanos(store.now()));
    let give_back = move |db: &Connection| {
        let mut ends = uses(db, &key)?;
        let latest = ends.iter().enumerate().max_by_key(|(_, end)| **end);
        let Some((at, _)) = latest.filter(|(_, end)| now < **end) else { return Ok(()) };
        ends.swap_remove(at);
        write(db, &key, &ends, keep_until)
    };
    store.writes().call(give_back).await
}

/// When each use that was granted falls out of the window.
fn uses(db: &Connection, key: &str) -> Result<Vec<i64>, Failure> {
    let ends: Option<Vec<u8>> =
        db.prepare_cached(USES)?.query_row((key,), |row| row.get(0)).optional()?;
    let (ends, rest) = ends.as_deref().unwrap_or_default().as_chunks();
    if rest.is_empty() {
        return Ok(ends.iter().map(|end| i64::from_le_bytes(*end)).collect());
    }
    Err(StoreError::corrupt("a quota that is not as it was written").into())
}

fn write(db: &Connection, key: &str, ends: &[i64], keep_until: i64) -> Result<(), Failure> {
    let ends: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    db.prepare_cached(WRITE)?.execute((key, ends, keep_until))?;
    Ok(())
}
