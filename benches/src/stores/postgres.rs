//! `PostgresStore` beside tokio-postgres.

use std::sync::Arc;

use moojo_session_postgres::PostgresStore;
use moojo_testkit::Postgres;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use super::contest::{self, Entrant};
use super::records::{People, parse};
use super::{Bytes, Figures, IN_FLIGHT, Plan, turns};

/// As one would run it: what is acknowledged is on the disk.
pub(super) const SETTINGS: [&str; 4] =
    ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=256MB"];

const LOAD: &str = "select session_id, body from moojo.sessions where user_id = $1";

/// Measures on a server of its own.
pub fn measure(plan: &Plan, runtime: &Runtime, people: &People) -> Figures {
    let server = runtime.block_on(Postgres::start(&SETTINGS));
    let store = store(&server);
    let raw = Arc::new(runtime.block_on(connect(&server)));
    let bytes = bytes(&raw, runtime, people, &store);
    let statement = runtime.block_on(raw.prepare(LOAD)).expect("the table is there");
    let loads = IN_FLIGHT.map(|in_flight| {
        let select = |parses: bool| {
            let (raw, statement, people) = (Arc::clone(&raw), statement.clone(), people.clone());
            move || {
                turns::tasks(runtime, in_flight, plan.turn, |mut calls| {
                    let (raw, statement) = (Arc::clone(&raw), statement.clone());
                    let people = people.clone();
                    async move {
                        for pick in &mut calls {
                            let id = people.id(pick).as_str();
                            let row = raw.query_one(&statement, &[&id]).await.expect("a session");
                            let body: &[u8] = row.get(1);
                            if parses {
                                parse(body, people.id(pick));
                            }
                        }
                        calls
                    }
                })
            }
        };
        let (ours, who) = (store.clone(), people.clone());
        let entrants = vec![
            Entrant::new("tokio-postgres, prepared `select`", select(false)),
            Entrant::new("the same, and the record read", select(true)),
            Entrant::new("**`PostgresStore::load`**", move || {
                super::load(runtime, in_flight, plan.turn, &ours, &who)
            }),
        ];
        contest::hold(in_flight, plan.rounds, entrants)
    });
    Figures { loads: loads.into(), saves: saves(plan, runtime, people, &store, &raw), bytes }
}

/// Saves on the disk, beside commits that wait for the disk one at a time.
fn saves(
    plan: &Plan,
    runtime: &Runtime,
    people: &People,
    store: &PostgresStore,
    raw: &Arc<Client>,
) -> Vec<contest::Result> {
    let update = "update moojo.sessions set saved_at = now() where user_id = $1";
    let statement = runtime.block_on(raw.prepare(update)).expect("the table is there");
    let (raw, who) = (Arc::clone(raw), people.clone());
    let (ours, people) = (store.clone(), people.clone());
    let entrants = vec![
        Entrant::new("tokio-postgres, one commit at a time", move || {
            turns::tasks(runtime, 1, plan.turn, |mut calls| {
                let (raw, statement, who) = (Arc::clone(&raw), statement.clone(), who.clone());
                async move {
                    for pick in &mut calls {
                        let id = who.id(pick).as_str();
                        raw.execute(&statement, &[&id]).await.expect("it is written");
                    }
                    calls
                }
            })
        }),
        Entrant::new("**`PostgresStore::save`**, 64 at once", move || {
            super::save(runtime, 64, plan.turn, &ours, &people)
        }),
    ];
    vec![contest::hold(64, plan.rounds.div_ceil(3), entrants)]
}

fn bytes(raw: &Client, runtime: &Runtime, people: &People, store: &PostgresStore) -> Bytes {
    let size = |table: &str| {
        let sql = "select pg_total_relation_size($1::text::regclass)";
        let row = runtime.block_on(raw.query_one(sql, &[&format!("moojo.{table}")]));
        let bytes: i64 = row.expect("the table is there").get(0);
        bytes as f64 / people.count() as f64
    };
    people.log_in(runtime, store);
    let session = size("sessions");
    people.log_in(runtime, store);
    let session_renewed = size("sessions");
    people.begin_logins(runtime, store);
    people.count_sends(runtime, store);
    let (login, quota) = (size("challenges"), size("quotas"));
    let clean = "truncate moojo.challenges, moojo.quotas; vacuum full analyze moojo.sessions";
    for sql in clean.split(';') {
        runtime.block_on(raw.batch_execute(sql)).expect("it is cleaned");
    }
    Bytes { session, session_renewed, login, quota }
}

pub(super) fn store(server: &Postgres) -> PostgresStore {
    let store = PostgresStore::builder(server.url()).migrate_on_first_use(true);
    store.build().expect("the address is right")
}

/// One connection, as the store has for what is read.
pub(super) async fn connect(server: &Postgres) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&server.url(), NoTls).await.expect("it is there");
    tokio::spawn(connection);
    client
}
