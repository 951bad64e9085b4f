//! Real servers for the tests of this workspace, each on a free port and in a folder of its own, a
//! proxy that cuts, freezes and slows what goes to them, a disk that can be filled up, and what a test
//! has logged.
//!
//! A server ends when its value is dropped, and also when the test's process is killed. Where a
//! program is missing the test fails: `scripts/servers` installs what is needed.

mod disk;
mod log;
mod postgres;
mod process;
mod proxy;
mod redis;
mod sentinel;

pub use disk::Disk;
pub use log::Log;
pub use postgres::Postgres;
pub use process::{Process, free_port};
pub use proxy::Proxy;
pub use redis::{Redis, RedisCluster};
pub use sentinel::Sentinel;
