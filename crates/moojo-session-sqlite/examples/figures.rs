//! What the store costs beside SQLite alone: `cargo run --release --example figures`, in a folder of
//! the disk that is meant.

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use moojo_session::{AccessToken, Session, SessionStore, UserId};
use moojo_session_sqlite::{Durability, SqliteStore};
use rusqlite::Connection;

const USERS: u64 = 20_000;
const TIME: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(".").expect("a folder can be made here");
    let path = folder.path().join("figures.db");
    let alone = folder.path().join("alone.db");

    let single = commits_alone(&alone);
    println!("durable commits of one session, SQLite alone     {single:>9.0} /s");
    for (name, durability) in [("full", Durability::Full), ("normal", Durability::Normal)] {
        for writers in [1, 8, 64, 512] {
            let path = folder.path().join(format!("{name}-{writers}.db"));
            let rate = saves(&path, durability, writers).await;
            let times = rate / single;
            println!("saves, {name:<6} {writers:>4} writers {rate:>27.0} /s  {times:>6.1} x");
        }
    }

    fill(&path).await;
    let raw = reads_alone(&path);
    println!("loads, SQLite alone, one thread, session built   {raw:>9.0} /s");
    for tasks in [1, 2, 8, 64] {
        let rate = loads(&path, tasks).await;
        println!("loads, {tasks:>3} at once {rate:>35.0} /s  {:>6.2} x", rate / raw);
    }
    let (saved, loaded) = tokio::join!(saves(&path, Durability::Full, 64), loads(&path, 64));
    let log = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    println!("64 writers beside 64 who load {saved:>20.0} and {loaded:.0} /s");
    println!("  the log after it {:>31.1} MiB", log as f64 / f64::from(1 << 20));
}

fn session(number: u64) -> Session {
    let user = UserId::new(format!("user-{number}")).expect("short and printable");
    Session::builder(user, AccessToken::new("6c0350a00925b9bb".repeat(16)).expect("a token"))
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .public_user_id("a6e8f837-2f6b-478c-a007-82989d000000")
        .public_key("0x0288d1f04d3e8b1b45bc4ea93f7a0a4d0a3e9e5d3f9b6a7c8d9e0f1a2b3c4d5e6f")
        .build()
        .expect("a session")
}

async fn open(path: &Path, durability: Durability) -> SqliteStore {
    SqliteStore::builder(path).durability(durability).open().await.expect("it opens")
}

/// The same rows in the same tables, each in a transaction of its own.
fn commits_alone(path: &Path) -> f64 {
    let db = Connection::open(path).expect("it opens");
    db.execute_batch(include_str!("../migrations/1.sql")).expect("tables");
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = on",
    )
    .expect("settings");
    let body = "x".repeat(600);
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < TIME {
        number += 1;
        let user = format!("user-{number}");
        db.execute_batch("begin immediate").expect("begun");
        db.prepare_cached("insert into changes (user, id) values (?1, ?2)")
            .and_then(|mut sql| sql.execute((&user, [1_u8; 16])))
            .expect("told");
        db.prepare_cached("insert into sessions values (?1, ?2, ?3, ?4, ?5, ?6)")
            .and_then(|mut sql| sql.execute((&user, [1_u8; 16], 1, number, number, &body)))
            .expect("saved");
        db.execute_batch("commit").expect("committed");
    }
    number as f64 / started.elapsed().as_secs_f64()
}

async fn saves(path: &Path, durability: Durability, writers: u64) -> f64 {
    let store = open(path, durability).await;
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while started.elapsed() < TIME {
                    let session = session(writer + writers * number);
                    store.save(&session).await.expect("saved");
                    number += 1;
                }
                number
            })
        })
        .collect();
    let mut saved = 0;
    for task in tasks {
        saved += task.await.expect("no panic");
    }
    saved as f64 / started.elapsed().as_secs_f64()
}

async fn fill(path: &Path) {
    let store = open(path, Durability::Normal).await;
    let tasks: Vec<_> = (0..USERS)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.save(&session(number)).await.expect("saved") })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// What the store's own reader does, on this thread.
fn reads_alone(path: &Path) -> f64 {
    let db = Connection::open(path).expect("it opens");
    let mut number: u64 = 0;
    let started = Instant::now();
    while started.elapsed() < TIME {
        number += 1;
        let user = format!("user-{}", number.wrapping_mul(7919) % USERS);
        let mut sql =
            db.prepare_cached("select id, body from sessions where user = ?1").expect("prepared");
        let session = sql
            .query_row((user,), |row| {
                let body = row.get_ref(1)?.as_str()?;
                let record: moojo_session::ExposedSession =
                    serde_json::from_str(body).expect("as written");
                Ok(Session::try_from(record).expect("a session"))
            })
            .expect("it is there");
        std::hint::black_box(session);
    }
    number as f64 / started.elapsed().as_secs_f64()
}

async fn loads(path: &Path, tasks: u64) -> f64 {
    let store = open(path, Durability::Full).await;
    let started = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut number: u64 = 0;
                while started.elapsed() < TIME {
                    number += 1;
                    let user = format!("user-{}", (task + number).wrapping_mul(7919) % USERS);
                    let user = UserId::new(user).expect("short and printable");
                    assert!(store.load(&user).await.expect("loaded").is_some());
                }
                number
            })
        })
        .collect();
    let mut loaded = 0;
    for task in tasks {
        loaded += task.await.expect("no panic");
    }
    loaded as f64 / started.elapsed().as_secs_f64()
}
