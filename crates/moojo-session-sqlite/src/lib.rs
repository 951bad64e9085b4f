//! SQLite as the store of [`moojo_session`].

mod admin;
mod builder;
mod challenges;
mod database;
mod error;
mod feed;
mod leases;
mod log;
mod migrate;
mod queue;
mod quotas;
mod reader;
mod record;
mod sessions;
mod store;
mod times;
mod upkeep;
mod writer;

pub use builder::{Durability, SqliteStoreBuilder};
pub use migrate::OpenError;
pub use store::SqliteStore;
