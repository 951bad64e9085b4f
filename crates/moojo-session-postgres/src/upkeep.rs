//! Deleting what has run out.

use std::sync::Weak;
use std::time::Duration;

use moojo_session::{Chain, StoreError};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::column;
use crate::link::Link;
use crate::store::{Inner, PostgresStore};

/// Rows that another process is deleting are passed over. A minute more, for clocks that differ. The
/// time is that of the statement, and so one that an index is searched by: `clock_timestamp()` would
/// be compared with every row.
macro_rules! delete_expired {
    ($table:literal, $key:literal) => {
        concat!(
            "with expired as (select ",
            $key,
            " from {schema}.",
            $table,
            " where keep_until < statement_timestamp() - interval '1 minute'",
            " order by keep_until limit 500 for update skip locked),",
            " deleted as (delete from {schema}.",
            $table,
            " as t using expired",
            " where t.",
            $key,
            " = expired.",
            $key,
            " returning 1)",
            " select count(*) from deleted",
        )
    };
}

const TABLES: [&str; 4] = [
    delete_expired!("sessions", "user_id"),
    delete_expired!("challenges", "user_id"),
    delete_expired!("quotas", "key"),
    delete_expired!("leases", "user_id"),
];

/// How many rows go in one transaction.
const BATCH: u64 = 500;

/// The task that deletes now and then.
#[derive(Default)]
pub(crate) struct Upkeep(Mutex<Option<JoinHandle<()>>>);

impl Upkeep {
    /// On average.
    const EVERY: Duration = Duration::from_secs(60);

    /// Starts it, unless it runs: the runtime that it ran on may be gone.
    pub(crate) fn keep_up(&self, store: impl FnOnce() -> Weak<Inner>) {
        let mut task = self.0.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(now_and_then(store())));
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        if let Some(task) = self.0.get_mut() {
            task.abort();
        }
    }
}

async fn now_and_then(store: Weak<Inner>) {
    loop {
        // At other times than the other processes.
        tokio::time::sleep(Upkeep::EVERY.mul_f64(0.5 + fastrand::f64())).await;
        let Some(store) = store.upgrade() else { return };
        match PostgresStore::of(store).delete_expired().await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "expired rows were deleted"),
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "expired rows could not be deleted");
            }
        }
    }
}

pub(crate) async fn delete_expired(link: &Link) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for sql in TABLES {
        loop {
            let rows = link.read(sql, &[]).await?;
            let count: i64 = rows.first().map_or(Ok(0), |row| column(row, 0))?;
            deleted += count.unsigned_abs();
            if count.unsigned_abs() < BATCH {
                break;
            }
        }
    }
    Ok(deleted)
}
