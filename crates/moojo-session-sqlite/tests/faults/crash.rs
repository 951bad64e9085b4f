//! `kill -9` at any moment.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use moojo_session::{Change, ChangeStream, Session, SessionStore};
use moojo_session_sqlite::SqliteStore;

use crate::{child, file, open, raw, with_token};

const WRITERS: usize = 16;

/// What a killed process had said of a user.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Saved(String),
    /// It had begun to remove the session.
    Removing(String),
    Removed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (_folder, path) = file();
    let mut random = fastrand::Rng::with_seed(0x6d6a);
    let mut told: HashMap<String, Said> = HashMap::new();
    let mut saved = 0;
    for round in 0..12 {
        // In some rounds, the process has company on the file.
        let beside = if round % 3 == 0 { Some(open(&path).await) } else { None };
        let feed = beside.as_ref().map(SessionStore::changes);
        let mut acknowledged = Vec::new();
        let mut process = child::start("save", &path);
        let mut lines = child::lines(&mut process);
        let first = lines.find(|line| line.starts_with("saved")).unwrap();
        // It has said more by then, and is wherever it may be in what comes next.
        let before: Vec<_> = lines.by_ref().take(random.usize(0..1000)).collect();
        process.kill().unwrap();
        for line in std::iter::once(first).chain(before).chain(lines) {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["saved", user, id] => told.insert(user.to_owned(), Said::Saved(id.to_owned())),
                ["removing", user, id] => {
                    told.insert(user.to_owned(), Said::Removing(id.to_owned()))
                }
                ["removed", user] => told.insert(user.to_owned(), Said::Removed),
                _ => continue,
            };
            if let ["saved", user, id] = words[..] {
                acknowledged.push((user.to_owned(), id.to_owned()));
            }
        }
        saved += acknowledged.len();
        process.wait().unwrap();

        let store = match beside {
            Some(store) => store,
            None => open(&path).await,
        };
        if let Some(feed) = feed {
            hears_all(feed, &store, &acknowledged).await;
        }
        for (name, said) in &told {
            let loaded = store.load(&crate::user(name)).await.unwrap();
            let id = loaded.as_ref().map(|session| session.id().to_string());
            match said {
                Said::Saved(saved) => assert_eq!(id.as_ref(), Some(saved), "{name} was lost"),
                Said::Removing(saved) => assert!(id.is_none_or(|id| id == *saved), "{name}"),
                Said::Removed => assert_eq!(id, None, "{name} is back"),
            }
            if let Some(session) = loaded {
                let token = session.access_token();
                assert_eq!(token.expose_secret(), token_of(name), "{name} has another's token");
            }
        }
        drop(store);
        let sound: String =
            raw(&path).query_row("pragma integrity_check", (), |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
    assert!(saved > 100, "{saved} saves are too few to say anything");
}

/// What a process was told that it has happened, the others are told as well, though it was killed.
async fn hears_all(mut feed: ChangeStream, store: &SqliteStore, acknowledged: &[(String, String)]) {
    let last = with_token("last", "x");
    store.save(&last).await.unwrap();
    let mut heard = HashSet::new();
    loop {
        match feed.next().await.unwrap() {
            Change::Saved { user, .. } if user == *last.user() => break,
            Change::Saved { user, id } => {
                heard.insert((user.to_string(), id.to_string()));
            }
            Change::Lagged => return,
            _ => {}
        }
    }
    for change in acknowledged {
        assert!(heard.contains(change), "nobody was told of {change:?}");
    }
}

/// Two processes that both write all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_busy_processes_both_get_on() {
    let (_folder, path) = file();
    let store = open(&path).await;
    let mut process = child::start("save", &path);
    let mut lines = child::lines(&mut process).filter(|line| line.starts_with("saved"));
    lines.next().unwrap();
    // Somebody has to listen to it, or it stops.
    let listening = std::thread::spawn(move || lines.count());
    for round in 0..20 {
        let sessions: Vec<_> =
            (0..8).map(|number| with_token(format!("ours-{round}-{number}"), "x")).collect();
        let saves = join_all(sessions.iter().map(|session| store.save(session))).await;
        for (session, outcome) in sessions.iter().zip(saves) {
            outcome.unwrap();
            assert_eq!(store.load(session.user()).await.unwrap().as_ref(), Some(session));
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let theirs = listening.join().unwrap();
    assert!(theirs > 20, "the other process saved {theirs}");
}

fn token_of(name: &str) -> String {
    format!("token-of-{name}").repeat(20)
}

/// The child: saves and removes, and says each only once it was acknowledged.
pub(crate) async fn save_until_killed(path: &Path) {
    let store = Arc::new(open(path).await);
    let run = fastrand::u64(..);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{run:x}-{writer}-{number}");
                    let session: Session = with_token(&name, &token_of(&name));
                    store.save(&session).await.unwrap();
                    child::say(&format!("saved {name} {}", session.id()));
                    if number % 3 == 0 {
                        child::say(&format!("removing {name} {}", session.id()));
                        assert!(store.remove(session.user()).await.unwrap());
                        child::say(&format!("removed {name}"));
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}
