//! PostgreSQL as the store of [`moojo_session`].

mod admin;
mod backoff;
mod builder;
mod challenges;
mod config;
mod connector;
mod database;
mod error;
mod feed;
mod hidden;
mod leases;
mod link;
mod migrate;
mod names;
mod quotas;
mod sessions;
mod store;
mod times;
#[cfg(feature = "tls")]
mod tls;
mod upkeep;

pub use builder::PostgresStoreBuilder;
pub use config::ConfigError;
pub use migrate::MigrateError;
pub use store::PostgresStore;

use link::Parameter;
use moojo_session::StoreError;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// A value of a row. What is not of its type, we did not write.
fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|_| StoreError::corrupt("a column is not of the type expected"))
}
