use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio_postgres::{Client, Error, Statement};

/// Makes the writes of a connection durable, many at once.
///
/// A commit with a notice holds a lock of the whole database until it is on the disk, so no two of
/// them go there together: some hundreds a second and no more, however many connections. So writes
/// commit without waiting for the disk. After its own, each caller waits for an empty commit that
/// does wait, which takes all that was committed before it to the disk, and to the replicas as they
/// are set. It goes over the same connection, so to the same server. One serves all who have come
/// by the time it begins.
pub(super) struct Flush {
    /// The empty commit, and what `synchronous_commit` was before we set it to `off`. `None`: it was
    /// `off` before, and nobody is to wait.
    commit: Option<(Statement, String)>,
    /// One at a time.
    turn: Mutex<()>,
    begun: AtomicU64,
    /// The last one that was done.
    done: AtomicU64,
}

impl Flush {
    /// The message is what there is to commit. It is for logical replication; nobody reads it.
    const COMMIT: &'static str = "select set_config('synchronous_commit', $1, true), \
                                  pg_logical_emit_message(true, 'moojo-session', '')";

    /// Has the commits of this connection not wait.
    pub(super) async fn new(client: &Client) -> Result<Self, Error> {
        let row = client.query_one("show synchronous_commit", &[]).await?;
        let level: String = row.try_get(0)?;
        client.batch_execute("set synchronous_commit = off").await?;
        let commit = match level.as_str() {
            "off" => None,
            _ => Some((client.prepare(Self::COMMIT).await?, level)),
        };
        let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { commit, turn: Mutex::default(), begun, done })
    }

    /// Returns when all that was answered before the call is durable.
    pub(super) async fn flush(&self, client: &Client) -> Result<(), Error> {
        let Some((commit, level)) = &self.commit else { return Ok(()) };
        let begun_before = self.begun.load(Ordering::SeqCst);
        let _turn = self.turn.lock().await;
        if self.done.load(Ordering::SeqCst) > begun_before {
            // It began after ours was answered: somebody before us in the row made it.
            return Ok(());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        client.query(commit, &[level]).await?;
        self.done.store(number, Ordering::SeqCst);
        Ok(())
    }
}
