//! Many tasks at once, at random, until they are done.

use std::sync::Arc;

use moojo_session::{Error, ManualClock, SessionManager, SessionStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::common::{TestStore, fresh, start, user};

/// Logins, refusals, revocations and reads of few users by many tasks, from a seed: whoever reads
/// gets a session of the right user, and at rest manager and store agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stress_manager_and_store_agree_at_rest() {
    for seed in 0..20 {
        let clock = ManualClock::new(start());
        let store = TestStore::new(&clock);
        if seed % 2 == 0 {
            store.has_feed();
        }
        let sessions =
            SessionManager::builder(store.clone()).clock(clock.clone()).max_users(3).build();
        let users: Arc<Vec<_>> = Arc::new((0..5).map(|n| user(&format!("user-{n}"))).collect());
        let mut tasks = JoinSet::new();
        for task in 0..16 {
            let (sessions, clock, users) = (sessions.clone(), clock.clone(), Arc::clone(&users));
            let mut random = StdRng::seed_from_u64(seed * 1000 + task);
            tasks.spawn(async move {
                for _ in 0..300 {
                    let user = &users[random.random_range(0..users.len())];
                    match random.random_range(0..10) {
                        0 | 1 => sessions.insert(fresh(user, user.as_str(), &clock)).await.unwrap(),
                        2 => drop(sessions.revoke(user).await.unwrap()),
                        _ => match sessions.get(user).await {
                            Ok(session) => {
                                assert_eq!(session.user(), user);
                                assert_eq!(session.access_token().expose_secret(), user.as_str());
                                if random.random_bool(0.2) {
                                    sessions.reject(&session).await.unwrap();
                                }
                            }
                            Err(Error::ReauthRequired(_) | Error::Overloaded { .. }) => {}
                            Err(error) => assert!(matches!(error, Error::Store(_)), "{error}"),
                        },
                    }
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        // Changes of this process do not wait for the feed to be seen by it. What is still to be seen
        // may keep the few places busy for a moment.
        for user in users.iter() {
            let in_store = store.memory().load(user).await.unwrap();
            let found = loop {
                match sessions.get(user).await {
                    Ok(session) => break Some(session),
                    Err(Error::ReauthRequired(_)) => break None,
                    Err(Error::Overloaded { .. }) => tokio::task::yield_now().await,
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            };
            assert_eq!(found, in_store, "seed {seed}");
        }
    }
}
