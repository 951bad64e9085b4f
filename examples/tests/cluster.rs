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

async fn run(plan: &Plan, redis: Option<String>) -> Summary {
    let program = env::current_exe().unwrap();
    let again = || {
        let mut process = Command::new(&program);
        process.args(["--exact", "process", "--nocapture"]);
        process
    };
    let mut told = String::new();
    let tell = |line: String| told.push_str(&(line + "\n"));
    let summary = cluster::run(plan, redis, again, tell).await.unwrap();
    println!("{summary}");
    assert!(summary.is_good(), "{told}\n{summary:?}");
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_1_and_7_to_11_hold_over_three_processes() {
    let plan = Plan { users: 10, seconds: 12, kills: Vec::new(), ..Plan::default() };
    let redis = moojo_testkit::Redis::start();
    redis.say("SET cluster-of-others theirs").unwrap();
    let summary = run(&plan, Some(redis.url())).await;
    assert_eq!(redis.say("KEYS *").unwrap(), "*1\r\n$17\r\ncluster-of-others\r\n");
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
    // A variable that is set to nothing is not set: it starts one of its own.
    let summary = run(&plan, Some(String::new())).await;
    assert!(summary.calls() >= 200_000, "{summary}");
    assert!(summary.kills >= 16, "{summary}");
    // What went with a process had just been typed there.
    assert!(summary.early_codes <= summary.kills * 4, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_be_used_ends_it_before_it_begins() {
    let nothing_there = moojo_testkit::free_port();
    let redis = moojo_testkit::Redis::start();
    redis.say("CONFIG SET requirepass right").unwrap();
    let dead = format!("redis://:planted@127.0.0.1:{nothing_there}");
    for (url, says) in [
        (dead.as_str(), format!("redis://…@127.0.0.1:{nothing_there}")),
        (dead.as_str(), "REDIS_URL".to_owned()),
        (dead.as_str(), "Connection refused".to_owned()),
        (&redis.url(), "NOAUTH: it wants a login".to_owned()),
        (&redis.url().replace("//", "//:planted@"), "the user name or the password".to_owned()),
        ("http://planted@h", "REDIS_URL, http://…@h: a Redis URL begins with redis://".to_owned()),
        ("redis://h/one", "the database in a Redis URL is a number".to_owned()),
        ("planted", "a Redis URL cannot be read".to_owned()),
    ] {
        let mut told = Vec::new();
        let program = || panic!("no process is started");
        let tell = |line| told.push(line);
        let outcome = cluster::run(&Plan::default(), Some(url.to_owned()), program, tell).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(&says), "{says}: {error}");
        assert!(!error.contains("planted"), "rule 13: {error}");
        assert!(told.is_empty(), "{told:?}");
    }
}
