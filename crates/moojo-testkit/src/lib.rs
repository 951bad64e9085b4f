//! Real servers for the tests of this workspace, each on a free port and in a folder of its own, a
//! proxy that cuts, freezes and slows what goes to them, a disk that can be filled up, what a test has
//! logged, and waiting for what other processes do.
//!
//! A server ends when its value is dropped, and also when the test's process is killed. Where a
//! program is missing the test fails: `scripts/servers` installs what is needed.

mod disk;
mod log;
mod patience;
mod postgres;
mod process;
mod proxy;
mod redis;
mod sentinel;

pub use disk::Disk;
pub use log::Log;
pub use patience::{PATIENCE, eventually, eventually_some};
pub use postgres::Postgres;
pub use process::{Process, free_port};
pub use proxy::Proxy;
pub use redis::{Redis, RedisCluster};
pub use sentinel::Sentinel;
