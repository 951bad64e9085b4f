//! Callers that leave at any moment.

use std::collections::HashSet;
use std::time::Duration;

use moojo_session::{SessionId, SessionStore};
use moojo_session_sqlite::SqliteStore;
use tokio::time::timeout;

use crate::reading::BOTH;
use crate::{file, user, with_token};

/// What may be there of a user: what was acknowledged last, and what was tried since.
struct May {
    have: HashSet<SessionId>,
    have_none: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_dropped_calls_do_not_mix_answers() {
    for reading in BOTH {
        let (_folder, path) = file();
        let store = SqliteStore::builder(&path).reading(reading).open().await.unwrap();
        let tasks: Vec<_> = (0..24)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { one_user(&store, number).await })
            })
            .collect();
        let mut acknowledged = 0;
        for task in tasks {
            acknowledged += task.await.unwrap();
        }
        assert!(acknowledged > 100, "only {acknowledged} calls were waited for");
    }
}

async fn one_user(store: &dyn SessionStore, number: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(number);
    let user = user(format!("user-{number}"));
    let mut may = May { have: HashSet::new(), have_none: true };
    let mut acknowledged = 0;
    for _ in 0..120 {
        // Not polled at all, polled once, or somewhere on the way.
        let patience = [0, 0, 200, 2000, 5000, 1_000_000][random.usize(0..6)];
        let patience = Duration::from_micros(random.u64(0..=patience));
        match random.u8(0..4) {
            0 => {
                let answer = timeout(patience, store.remove(&user)).await;
                if let Ok(removed) = answer {
                    assert!(if removed.unwrap() { !may.have.is_empty() } else { may.have_none });
                    may.have.clear();
                    acknowledged += 1;
                }
                may.have_none = true;
            }
            1 | 2 => {
                let session = with_token(user.as_str(), user.as_str());
                if timeout(patience, store.save(&session)).await.is_ok_and(|saved| saved.is_ok()) {
                    may = May { have: HashSet::new(), have_none: false };
                    acknowledged += 1;
                }
                may.have.insert(session.id());
            }
            _ => {
                if let Ok(loaded) = timeout(patience, store.load(&user)).await {
                    match loaded.unwrap() {
                        Some(session) => {
                            assert_eq!(session.user(), &user);
                            assert_eq!(session.access_token().expose_secret(), user.as_str());
                            assert!(may.have.contains(&session.id()));
                        }
                        None => assert!(may.have_none),
                    }
                    acknowledged += 1;
                }
            }
        }
    }
    acknowledged
}
