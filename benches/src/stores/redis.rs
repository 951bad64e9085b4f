//! `RedisStore` beside the redis crate.

use std::sync::Arc;

use moojo_session::SessionManager;
use moojo_session_redis::RedisStore;
use moojo_testkit::Redis;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use super::contest::{self, Entrant};
use super::records::{People, parse};
use super::{Bytes, Figures, IN_FLIGHT, Plan, turns};

/// Measures on a server of its own.
pub fn measure(plan: &Plan, runtime: &Runtime, people: &People) -> Figures {
    let server = Redis::start();
    let store = store(&server);
    let bytes = bytes(&server, runtime, people, &store);
    let raw = runtime.block_on(connect(&server));
    let keys: Arc<[String]> =
        (0..people.count()).map(|user| format!("moojo:s:{{{}}}", people.id(user))).collect();
    let loads = IN_FLIGHT.map(|in_flight| {
        let get = |parses: bool| {
            let (raw, keys, people) = (raw.clone(), Arc::clone(&keys), people.clone());
            move || {
                turns::tasks(runtime, in_flight, plan.turn, |mut calls| {
                    let (mut raw, keys) = (raw.clone(), Arc::clone(&keys));
                    let people = people.clone();
                    async move {
                        for pick in &mut calls {
                            let key = &keys[pick % keys.len()];
                            let value: Option<Vec<u8>> = redis::cmd("GET")
                                .arg(key)
                                .query_async(&mut raw)
                                .await
                                .expect("a value");
                            let value = value.expect("a session");
                            if parses {
                                parse(&value, people.id(pick));
                            }
                        }
                        calls
                    }
                })
            }
        };
        let (ours, who) = (store.clone(), people.clone());
        let entrants = vec![
            Entrant::new("the redis crate, `GET`", get(false)),
            Entrant::new("the same, and the record read", get(true)),
            Entrant::new("**`RedisStore::load`**", move || {
                super::load(runtime, in_flight, plan.turn, &ours, &who)
            }),
        ];
        contest::hold(in_flight, plan.rounds, entrants)
    });
    Figures { loads: loads.into(), saves: saves(plan, runtime, people, &server), bytes }
}

/// What a manager does in front of it: calls a second, and how many commands came to the server.
pub fn behind_a_manager(plan: &Plan, runtime: &Runtime) -> (f64, u64) {
    let server = Redis::start();
    let manager = SessionManager::new(store(&server));
    let people = People::new(1000.min(plan.users));
    runtime.block_on(async {
        for user in 0..people.count() {
            manager.insert(people.session(user)).await.expect("it is saved");
        }
    });
    let gets = |server: &Redis| number(server, "INFO commandstats", "cmdstat_get:calls=");
    let before = gets(&server);
    let turn = turns::tasks(runtime, 1, plan.turn, |mut calls| {
        let (manager, people) = (manager.clone(), people.clone());
        async move {
            for pick in &mut calls {
                drop(manager.get(people.id(pick)).await.expect("a session"));
                tokio::task::consume_budget().await;
            }
            calls
        }
    });
    (turn.rate, gets(&server) - before)
}

fn saves(plan: &Plan, runtime: &Runtime, people: &People, server: &Redis) -> Vec<contest::Result> {
    let durable = Redis::start_durable();
    let save = |store: RedisStore| {
        let people = people.clone();
        move || super::save(runtime, 64, plan.turn, &store, &people)
    };
    let entrants = vec![
        Entrant::new("`RedisStore::save`, in memory only", save(store(server))),
        Entrant::new("`RedisStore::save`, `appendfsync always`", save(store(&durable))),
    ];
    vec![contest::hold(64, plan.rounds.div_ceil(3), entrants)]
}

fn bytes(server: &Redis, runtime: &Runtime, people: &People, store: &RedisStore) -> Bytes {
    let mut before = used(server);
    let mut share = || {
        let now = used(server);
        let grown = now - before;
        before = now;
        grown / people.count() as f64
    };
    people.log_in(runtime, store);
    let session = share();
    people.log_in(runtime, store);
    let session_renewed = session + share();
    people.begin_logins(runtime, store);
    let login = share();
    people.count_sends(runtime, store);
    let quota = share();
    // What stays is as it was before: sessions alone.
    runtime.block_on(async {
        let mut raw = connect(server).await;
        for kind in ["c", "q"] {
            let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do \
                          redis.call('DEL', key) end";
            let mut cmd = redis::cmd("EVAL");
            cmd.arg(script).arg(0).arg(format!("moojo:{kind}:*"));
            let _: () = cmd.query_async(&mut raw).await.expect("they go");
        }
    });
    Bytes { session, session_renewed, login, quota }
}

fn used(server: &Redis) -> f64 {
    number(server, "INFO memory", "used_memory:") as f64
}

/// The number behind this word.
pub(super) fn number(server: &Redis, command: &str, word: &str) -> u64 {
    let said = server.say(command).expect("it answers");
    let rest = said.split_once(word).map_or("0", |(_, rest)| rest);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

pub(super) fn store(server: &Redis) -> RedisStore {
    RedisStore::builder(server.url()).build().expect("the address is right")
}

/// One connection, as the store has, and no time limit: the least that it can do.
async fn connect(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("the address is right");
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("it is there")
}
