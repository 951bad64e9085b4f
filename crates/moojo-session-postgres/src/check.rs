use moojo_session::StoreError;

use crate::column;
use crate::store::PostgresStore;

/// Fails by itself if a table is not there, or the schema is closed to the user.
const CHECK: &str = "
    select current_setting('transaction_read_only') = 'on',
        (select string_agg(lower(wanted) || ' on ' || name, ', ')
         from unnest(array['sessions', 'challenges', 'quotas', 'leases']) as name,
             unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as wanted
         where not has_table_privilege('{schema}.' || name, wanted))";

impl PostgresStore {
    /// Whether the server can be reached, is the one that writes, and has the tables and the user the
    /// rights on them: for a readiness check, or for the start of a program.
    ///
    /// It is one round trip once there is a connection, within the time limit of a call, and writes
    /// nothing: whether the disk is full it does not say. It can be dropped at any time.
    ///
    /// ```no_run
    /// # async fn check(store: moojo_session_postgres::PostgresStore) -> Result<(), Box<dyn std::error::Error>> {
    /// use moojo_session::{Chain, StoreErrorKind};
    ///
    /// match store.check().await {
    ///     Ok(()) => println!("ready"),
    ///     Err(error) if error.kind() == StoreErrorKind::Refused => return Err(error.into()),
    ///     Err(error) => println!("not yet: {}", Chain(&error)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`StoreError`], as any other call: [`Refused`](moojo_session::StoreErrorKind::Refused) for a
    /// login, a table or a right that is not there, and for a server that is read-only;
    /// [`Unavailable`](moojo_session::StoreErrorKind::Unavailable) for one that cannot be reached.
    pub async fn check(&self) -> Result<(), StoreError> {
        let rows = self.reads().read(CHECK, &[]).await?;
        let row = rows.first().ok_or_else(|| StoreError::corrupt("an answer without a row"))?;
        if let Some(missing) = column::<Option<String>>(row, 1)? {
            let schema = self.schema();
            let text = format!("the user has no right in the schema {schema} to: {missing}");
            return Err(StoreError::refused(text));
        }
        if column(row, 0)? {
            return Err(StoreError::refused("the server takes no changes: it is read-only"));
        }
        Ok(())
    }
}
