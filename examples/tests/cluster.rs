//! Real processes on one Redis: one SMS for each wish, no call lost, whichever of them is killed.

// The figures of a run, for who looks.
#![allow(clippy::print_stdout)]

#[path = "../cluster/mod.rs"]
mod cluster;

use std::env;
use std::process::Command;
use std::time::Duration;

use cluster::{Plan, Summary};

/// Not a test: the program of the processes that the others start.
#[test]
fn process() {
    if env::var("CLUSTER_REDIS").is_ok() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(cluster::process::run()).unwrap();
    }
}

async fn run(plan: &Plan) -> Summary {
    let program = env::current_exe().unwrap();
    let again = || {
        let mut process = Command::new(&program);
        process.args(["--exact", "process", "--nocapture"]);
        process
    };
    let mut told = String::new();
    let summary = cluster::run(plan, again, |line| told.push_str(&(line + "\n"))).await.unwrap();
    println!("{summary}");
    assert!(summary.is_good(), "{told}\n{summary:?}");
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_1_and_7_to_11_hold_over_three_processes() {
    let plan = Plan { users: 10, seconds: 12, kills: Vec::new(), ..Plan::default() };
    let summary = run(&plan).await;
    assert!(summary.codes >= 2 * plan.users, "{summary}");
    assert!(summary.codes - summary.logins <= plan.users, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_1_and_7_to_11_hold_while_processes_are_killed() {
    let kills = (0..16).map(|n| (4 + 3 * n, (n * 7 % 5) as usize)).collect();
    let plan = Plan {
        processes: 5,
        users: 80,
        seconds: 60,
        calls: 200_000,
        seconds_at_most: 1200,
        token_life: Duration::from_secs(8),
        pause_millis: 40,
        kills,
        restart: true,
    };
    let summary = run(&plan).await;
    assert!(summary.calls() >= 200_000, "{summary}");
    assert!(summary.kills >= 16, "{summary}");
    // What went with a process had just been typed there.
    assert!(summary.early_codes <= summary.kills * 4, "{summary}");
}
