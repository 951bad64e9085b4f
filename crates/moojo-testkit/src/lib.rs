//! Real servers for the tests of this workspace, each on a free port and in a folder of its own, a
//! proxy that cuts, freezes and slows what goes to them, and a disk that can be filled up.
//!
//! A server ends when its value is dropped, and also when the test's process is killed. Where a
//! program is missing the test fails: `scripts/servers` installs what is needed.

mod disk;
mod postgres;
mod process;
mod proxy;
mod redis;

pub use disk::Disk;
pub use postgres::Postgres;
pub use process::{Process, free_port};
pub use proxy::Proxy;
pub use redis::{Redis, RedisCluster};
