//! The example `agent_runtime` with small numbers: what it prints at the end is true.

#[path = "../agent_runtime/mod.rs"]
mod runtime;

use std::time::Duration;

use runtime::{Plan, Snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn rules_1_and_7_to_11_no_call_of_a_long_task_is_lost() {
    let real_tick = Duration::from_millis(8);
    let plan = Plan { users: 40, calls: 10, seed: 2, real_tick, ..Plan::default() };
    let mut last: Option<Snapshot> = None;
    let summary = runtime::run(&plan, |snapshot| last = Some(snapshot.clone())).await.unwrap();
    let last = last.unwrap();
    let all = format!("{plan}\n{}\n{last}\n{summary}", Snapshot::HEADER.join("\n"));

    assert_eq!(summary.lost, 0, "{all}");
    assert_eq!(summary.foreign_tokens, 0, "{all}");
    assert_eq!(summary.codes_sent, summary.people_asked, "{all}");
    assert!(summary.is_good(), "{all}");
    let ended = summary.answered + summary.declined + summary.past_deadline;
    assert_eq!(summary.begun, ended, "{all}");
    assert_eq!(last.finished + last.given_up, last.tasks, "{all}");
    assert_eq!((last.waiting_calls, last.waiting_people), (0, 0), "{all}");

    // All that can happen did.
    assert!(summary.finished > 0, "{all}");
    assert!(summary.resumed >= plan.users, "{all}");
    assert!(summary.logins >= plan.users / 2, "{all}");
    assert!(summary.declined > 0, "{all}");
    assert!(summary.past_deadline > 0, "{all}");
}
