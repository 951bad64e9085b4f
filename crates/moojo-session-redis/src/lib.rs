//! Redis.
mod admin;
mod challenges;
mod client;
mod cluster;
mod config;
mod error;
mod feed;
mod keys;
mod leases;
mod millis;
mod node;
mod record;
mod request;
mod script;
mod sentinel;
mod sessions;
mod store;

pub use config::{RedisConfigError, RedisStoreBuilder};
pub use store::RedisStore;
