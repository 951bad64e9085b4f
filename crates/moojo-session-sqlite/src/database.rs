//! The file, and connections to it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use moojo_session::StoreError;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use crate::builder::Durability;
use crate::error::Failure;
use crate::migrate;

/// Where the file is and how it is worked on.
#[derive(Debug)]
pub(crate) struct Database {
    /// Absolute: the process may go to another folder.
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) max_bytes: Option<u64>,
    /// How much of it a connection keeps in memory.
    pub(crate) cache_bytes: u64,
    /// Which file it is that stands there, once it was opened.
    pub(crate) opened: OnceLock<Identity>,
}

/// What a file keeps under any name: its device and number.
pub(crate) type Identity = (u64, u64);

/// How many prepared statements a connection keeps: all that there are.
const STATEMENTS: usize = 64;

impl Database {
    /// Makes the file if it is not there, for its owner alone. SQLite gives the files beside it the
    /// same rights.
    pub(crate) fn create_file(&self) -> Result<(), StoreError> {
        // A process that closes any handle of a file loses its locks on it. The file is new, so the
        // only locks to lose are those of a store that opens it this moment, in this process.
        static CREATING: Mutex<()> = Mutex::new(());
        let _creating = CREATING.lock();
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&self.path) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if self.path.is_dir() {
                    return Err(StoreError::refused(self.named(ErrorKind::IsADirectory.into())));
                }
                self.warn_of_readers();
                Ok(())
            }
            Err(error) => Err(match error.kind() {
                ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded => StoreError::refused(self.named(error)),
                _ => StoreError::unavailable(self.named(error)),
            }),
        }
    }

    /// What the system says of the file, and of which file.
    fn named(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }

    /// A file of somebody who set its rights is left as it is.
    #[cfg(unix)]
    fn warn_of_readers(&self) {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&self.path).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(path = %self.path.display(), mode = format_args!("{:o}", mode & 0o777),
                "others may read the file with the sessions in it");
        }
    }

    #[cfg(not(unix))]
    fn warn_of_readers(&self) {}

    /// Fails if the file has gone, or another stands in its place. The connections would go on with
    /// the one that is gone: give out what was removed since, and take what is lost. If it comes
    /// back, they are right again.
    #[cfg(unix)]
    pub(crate) fn ensure_in_place(&self) -> Result<(), Failure> {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(&self.path);
        let found = found.map_err(|error| StoreError::unavailable(self.named(error)))?;
        let found = (found.dev(), found.ino());
        if *self.opened.get_or_init(|| found) == found {
            return Ok(());
        }
        let path = self.path.display();
        Err(StoreError::unavailable(format!("{path}: another file stands in its place")).into())
    }

    /// A file that is open stays where it is.
    #[cfg(not(unix))]
    pub(crate) fn ensure_in_place(&self) -> Result<(), Failure> {
        let _ = &self.opened;
        Ok(())
    }

    /// A connection for the writer. It waits for no lock: see [`patiently`](crate::lock::patiently).
    pub(crate) fn writer(&self) -> Result<Connection, Failure> {
        let db = self.connect()?;
        migrate::ensure_ours(&db)?;
        if let Some(bytes) = self.max_bytes {
            let page: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = (bytes / page.unsigned_abs().max(1)).clamp(1, u64::from(u32::MAX) - 1);
            // It answers with the limit that holds.
            db.pragma_update_and_check(None, "max_page_count", pages as i64, |_| Ok(()))?;
        }
        db.busy_timeout(Duration::ZERO)?;
        Ok(db)
    }

    /// A connection that only reads. It waits for no lock either.
    pub(crate) fn reader(&self) -> Result<Connection, Failure> {
        let db = self.connect()?;
        migrate::ensure_ours(&db)?;
        db.pragma_update(None, "query_only", true)?;
        db.busy_timeout(Duration::ZERO)?;
        Ok(db)
    }

    /// A connection to the file, which has to be there: one that went away while the store is open
    /// must not come back as an empty one, by which nobody is logged in.
    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        // One thread has it, and nothing in the path is a setting.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_timeout(self.busy_timeout)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        let synchronous = match self.durability {
            // Apple's fsync alone does not get to the disk.
            Durability::Full => "full; pragma fullfsync = on; pragma checkpoint_fullfsync = on",
            Durability::Normal => "normal",
        };
        // In KiB, if it is below 0.
        let cache = -i64::try_from((self.cache_bytes / 1024).clamp(1, 1 << 30)).unwrap_or(1 << 30);
        // What is deleted is overwritten; nothing goes to a temporary file; nothing that stands in
        // the file's schema is trusted; a WAL that has grown in a rush is cut back.
        db.execute_batch(&format!(
            "pragma synchronous = {synchronous}; pragma secure_delete = on; \
             pragma temp_store = memory; pragma foreign_keys = on; pragma trusted_schema = off; \
             pragma cell_size_check = on; pragma cache_size = {cache}; pragma journal_size_limit = 4194304;"
        ))?;
        Ok(db)
    }
}

/// Runs a statement that gives no rows, and is kept prepared.
pub(crate) fn execute(db: &Connection, sql: &str) -> Result<(), Failure> {
    db.prepare_cached(sql)?.execute(())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no test can see without pulling the plug.
    #[test]
    fn connections_are_set_to_be_durable_and_to_overwrite() {
        let folder = tempfile::tempdir().unwrap();
        for (durability, synchronous) in [(Durability::Full, 2), (Durability::Normal, 1)] {
            let database = Database {
                path: folder.path().join(format!("{synchronous}.db")),
                durability,
                busy_timeout: Duration::from_secs(1),
                max_bytes: Some(1 << 20),
                cache_bytes: 4 << 20,
                opened: OnceLock::new(),
            };
            database.create_file().unwrap();
            migrate::bring_up(&database.connect().unwrap(), Duration::from_secs(1)).unwrap();
            let db = database.writer().unwrap();
            let is = |name: &str, value: i64| {
                let found: i64 = db.pragma_query_value(None, name, |row| row.get(0)).unwrap();
                assert_eq!(found, value, "{name}");
            };
            is("synchronous", synchronous);
            is("secure_delete", 1);
            is("temp_store", 2);
            is("cache_size", -4096);
            is("trusted_schema", 0);
            is("max_page_count", (1 << 20) / 4096);
            let mode: String =
                db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            let reader = database.reader().unwrap();
            assert!(reader.execute_batch("delete from sessions").is_err(), "it only reads");
        }
    }
}
