//! The users of a store, and what is written for them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use moojo_session::{Challenge, ChallengeStore, Quota, Session, SessionStore, UserId};
use tokio::runtime::Runtime;

use crate::login::{session, user_id};
use crate::workload::{Ids, Users};

/// The users of a run. Clones are the same.
#[derive(Debug, Clone)]
pub struct People(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    users: Users,
    ids: Vec<UserId>,
}

/// At once, while a store is filled.
const FILLERS: usize = 256;

impl People {
    /// So many, with ids like `user-0000001`.
    pub fn new(count: usize) -> Self {
        let users = Users::new(Ids::Short, count);
        let ids = (0..count).map(|user| user_id(&users, user)).collect();
        Self(Arc::new(Inner { users, ids }))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.ids.len()
    }

    /// One of them, picked by any number.
    pub fn id(&self, pick: usize) -> &UserId {
        &self.0.ids[pick % self.count()]
    }

    /// A new session of one of them.
    pub fn session(&self, pick: usize) -> Session {
        session(&self.0.users, pick % self.count())
    }

    /// Logs all of them in.
    pub fn log_in(&self, runtime: &Runtime, store: &(impl SessionStore + Clone)) {
        let store = store.clone();
        self.for_all(runtime, move |people, user| {
            let store = store.clone();
            async move { store.save(&people.session(user)).await.expect("it is saved") }
        });
    }

    /// Begins a login of each of them, as the login flow does.
    pub fn begin_logins(&self, runtime: &Runtime, store: &(impl ChallengeStore + Clone)) {
        let store = store.clone();
        self.for_all(runtime, move |people, user| {
            let store = store.clone();
            async move {
                let (id, now) = (people.id(user).clone(), Utc::now());
                let (resend_at, end) = (now + TimeDelta::seconds(30), now + TimeDelta::hours(1));
                let challenge = Challenge::open(id, phone(user), now, resend_at, end);
                assert!(store.swap(None, &challenge, now).await.expect("it is written"));
            }
        });
    }

    /// Counts an SMS to each of them.
    pub fn count_sends(&self, runtime: &Runtime, store: &(impl ChallengeStore + Clone)) {
        let store = store.clone();
        self.for_all(runtime, move |_, user| {
            let store = store.clone();
            async move {
                let key = format!("sends:{}", phone(user));
                let quota = Quota { key: &key, limit: 5, window: Duration::from_secs(3600) };
                store.admit(&quota, Utc::now()).await.expect("it is counted");
            }
        });
    }

    fn for_all<F>(
        &self,
        runtime: &Runtime,
        work: impl Fn(People, usize) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..FILLERS)
                .map(|first| {
                    let (people, work) = (self.clone(), work.clone());
                    tokio::spawn(async move {
                        for user in (first..people.count()).step_by(FILLERS) {
                            work(people.clone(), user).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the store is filled");
            }
        });
    }
}

fn phone(user: usize) -> String {
    format!("+1555{user:07}")
}

/// What any store has to do with a record that it has got: check it, make a session.
pub fn parse(record: &[u8], user: &UserId) -> Session {
    let session = Session::from_exposed_bytes(record).expect("it is a record");
    assert_eq!(session.user(), user);
    session
}
