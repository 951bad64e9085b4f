//! Calls that wait for a person: what one costs while it waits, and when it is woken.
//!
//! `cargo run --profile bench -p moojo-benches --bin parked` prints it; with `-- --write` it goes into
//! `docs/performance.md`.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use moojo_benches::exchange::{Inner, ORIGIN, request};
use moojo_benches::login::{runtime, session, user_id};
use moojo_benches::report::{self, Table};
use moojo_benches::workload::{Ids, Users};
use moojo_session::{MemoryStore, OnReauth, SessionLayer, SessionManager};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

const USERS: usize = 10_000;
const CALLS: usize = 100_000;
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(600);

/// A way to wait, and what measures it.
type Subject = (&'static str, fn(&Users) -> Cost);

/// What one call costs.
struct Cost {
    bytes_parked: f64,
    allocations_parked: f64,
    allocations_woken: f64,
    nanos_woken: f64,
}

fn main() -> io::Result<()> {
    let users = Users::new(Ids::Short, USERS);
    let subjects: [Subject; 3] = [
        ("a task that waits for a tokio `Notify` of its user", notify),
        ("`SessionManager::wait` in a task", wait),
        ("a call through the layer with `OnReauth::Wait`, in a task", layer),
    ];
    let mut rounds: Vec<[Cost; 3]> = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(subjects.map(|(_, measure)| measure(&users)));
    }
    let median = |pick: &dyn Fn(&[Cost; 3]) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(pick).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut table = Table::new([
        "",
        "bytes while it waits",
        "allocations to wait",
        "allocations to wake",
        "time to wake, to `Notify`",
    ]);
    for (i, (title, _)) in subjects.iter().enumerate() {
        table.row([
            (*title).to_owned(),
            format!("{:.0}", median(&|costs| costs[i].bytes_parked)),
            format!("{:.1}", median(&|costs| costs[i].allocations_parked)),
            format!("{:.1}", median(&|costs| costs[i].allocations_woken)),
            format!("{:.2}", median(&|costs| costs[i].nanos_woken / costs[0].nanos_woken)),
        ]);
    }
    let text = table.into_text();
    if env::args().any(|argument| argument == "--write") {
        return report::write_section("parked", &text);
    }
    println!("{text}");
    Ok(())
}

/// Parks all calls with `park`, wakes them with `wake`, and waits for them.
fn measure(park: impl Fn(&mut JoinSet<()>), wake: impl AsyncFn()) -> Cost {
    let runtime = runtime();
    let calls = CALLS as f64;
    let mut tasks = JoinSet::new();
    let parked = allocation_counter::measure(|| {
        runtime.block_on(async {
            park(&mut tasks);
            // Some tasks run in between, each to where it waits, or to where it asks the store.
            for _ in 0..CALLS / 8 {
                tokio::task::yield_now().await;
            }
        });
    });
    let start = Instant::now();
    let woken = allocation_counter::measure(|| {
        runtime.block_on(async {
            wake().await;
            while let Some(done) = tasks.join_next().await {
                done.expect("no task panics");
            }
        });
    });
    Cost {
        bytes_parked: parked.bytes_current as f64 / calls,
        allocations_parked: parked.count_total as f64 / calls,
        allocations_woken: woken.count_total as f64 / calls,
        nanos_woken: start.elapsed().as_nanos() as f64 / calls,
    }
}

fn notify(_: &Users) -> Cost {
    let arrivals: Vec<_> = (0..USERS).map(|_| Arc::new(Notify::new())).collect();
    measure(
        |tasks| {
            for call in 0..CALLS {
                let arrival = Arc::clone(&arrivals[call % USERS]);
                tasks.spawn(async move { arrival.notified().await });
            }
        },
        async || arrivals.iter().for_each(|arrival| arrival.notify_waiters()),
    )
}

fn wait(users: &Users) -> Cost {
    let sessions = SessionManager::new(MemoryStore::new());
    measure(
        |tasks| {
            for call in 0..CALLS {
                let (sessions, user) = (sessions.clone(), user_id(users, call % USERS));
                tasks.spawn(async move {
                    sessions.wait(&user, PATIENCE).await.expect("the session comes");
                });
            }
        },
        async || log_in(users, &sessions).await,
    )
}

fn layer(users: &Users) -> Cost {
    let sessions = SessionManager::new(MemoryStore::new());
    let client = SessionLayer::new(sessions.clone())
        .on_reauth(OnReauth::Wait(PATIENCE))
        .allow_origin(ORIGIN)
        .expect("https is allowed")
        .layer(Inner);
    measure(
        |tasks| {
            for call in 0..CALLS {
                let request = request(user_id(users, call % USERS));
                let answer = client.clone().oneshot(request);
                tasks.spawn(async move {
                    answer.await.expect("the session comes");
                });
            }
        },
        async || log_in(users, &sessions).await,
    )
}

async fn log_in(users: &Users, sessions: &SessionManager) {
    for user in 0..USERS {
        sessions.insert(session(users, user)).await.expect("the store is in memory");
    }
}
