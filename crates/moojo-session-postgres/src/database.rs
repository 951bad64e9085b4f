//! What all connections of a store have in common.

use moojo_session::StoreError;
use tokio::sync::OnceCell;

use crate::connector::Connector;
use crate::migrate::{self, MigrateError};
use crate::names::Names;

/// The server, our schema there, and whether that was seen to.
pub(crate) struct Database {
    pub(crate) connector: Connector,
    pub(crate) names: Names,
    /// Set once the tables are there. `None`: that is left to the owner.
    pub(crate) migrated: Option<OnceCell<()>>,
}

impl Database {
    /// Makes the tables before the first use, if the store is set to do so.
    pub(crate) async fn migrate_if_set(&self) -> Result<(), StoreError> {
        if let Some(migrated) = &self.migrated {
            let made = migrated.get_or_try_init(|| migrate::run(self)).await;
            made.map_err(MigrateError::into_store_error)?;
        }
        Ok(())
    }
}
