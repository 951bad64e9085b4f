//! Three processes of one program on one Redis. Tokens end all the time, and whichever process asks a
//! person, she gets one SMS and the calls of all three go on. In the middle one process is killed.
//!
//! ```text
//! cargo run --example cluster
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --example cluster
//! ```
//!
//! Without `REDIS_URL` it starts a `redis-server` of its own, which has to be installed. A Redis that
//! is not there, or refuses, ends it at once. Moojo is simulated, and its tokens live six seconds in
//! place of two hours; processes, Redis, HTTP and time are real.
//!
//! - `cluster/process.rs`: what each process is, which is what an application sets up;
//! - `cluster/server.rs`: the Redis, and whether it can be used;
//! - `cluster/mod.rs`: starts them, kills one, and counts.
#![allow(clippy::print_stdout)]

use std::env;
use std::process::{Command, ExitCode};

use moojo_examples::{BoxError, exit_code, start};

#[path = "cluster/mod.rs"]
mod cluster;

use cluster::Plan;

const HELP: &str = "\
Three processes of one program on one Redis. Tokens end all the time, and whichever process asks a
person, she gets one SMS and the calls of all three go on. In the middle one process is killed. It
takes about half a minute and ends with what was counted.

    REDIS_URL   a Redis to use, such as redis://:password@127.0.0.1:6379/1. Its keys and channels all
                begin with `cluster-` and a number, and are removed at the end. Unless set, a
                `redis-server` of its own is started, which has to be installed.

It takes no arguments.";

#[tokio::main]
async fn main() -> ExitCode {
    // It starts itself with this.
    if env::args_os().nth(1).is_some_and(|argument| argument == "process") {
        return exit_code(cluster::process::run().await);
    }
    start(HELP, run()).await
}

async fn run() -> Result<ExitCode, BoxError> {
    let program = env::current_exe()?;
    let again = || {
        let mut process = Command::new(&program);
        process.arg("process");
        process
    };
    let redis = env::var("REDIS_URL").ok();
    let tell = |line| println!("{line}");
    let summary = cluster::run(&Plan::default(), redis, again, tell).await?;
    println!("\n{summary}");
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
