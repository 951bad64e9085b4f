//! Three processes of one program on one Redis. Tokens end all the time, and whichever process asks a
//! person, she gets one SMS and the calls of all three go on. In the middle one process is killed.
//!
//! ```text
//! cargo run --example cluster
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --example cluster
//! ```
//!
//! Without `REDIS_URL` it starts a `redis-server` of its own, which has to be installed. Moojo is
//! simulated, and its tokens live six seconds in place of two hours; processes, Redis, HTTP and time are
//! real.
//!
//! - `cluster/process.rs`: what each process is, which is what an application sets up;
//! - `cluster/mod.rs`: starts them, kills one, and counts.
#![allow(clippy::print_stdout)]

use std::env;
use std::process::{Command, ExitCode};

#[path = "cluster/mod.rs"]
mod cluster;

use cluster::{BoxError, Plan};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    if env::args().nth(1).as_deref() == Some("process") {
        cluster::process::run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = env::current_exe()?;
    let again = || {
        let mut process = Command::new(&program);
        process.arg("process");
        process
    };
    let summary = cluster::run(&Plan::default(), again, |line| println!("{line}")).await?;
    println!("\n{summary}");
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
