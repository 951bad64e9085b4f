use std::collections::HashMap;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};

use super::{Answered, Failure, Verdict, cases, ensure};
use crate::secret::AccessToken;
use crate::session::{Session, SessionId};
use crate::store::{SessionAdmin, SessionInfo};
use crate::user::UserId;

type Store = Arc<dyn SessionAdmin>;

cases![dyn SessionAdmin:
    an_empty_store_lists_nothing,
    the_pages_hold_every_session,
    what_has_ended_is_neither_listed_nor_counted,
    remove_all_leaves_nothing,
    a_session_is_replaced_by_one_with_its_id,
    a_session_that_is_no_longer_current_is_not_replaced,
];

fn login(name: &str) -> Session {
    with_id(&UserId::new(name).expect("short and printable"), SessionId::random(), "6c0350a0")
}

fn with_id(user: &UserId, id: SessionId, token: &str) -> Session {
    Session::builder(user.clone(), AccessToken::new(token).expect("a token"))
        .id(id)
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .build()
        .expect("a session")
}

async fn all(store: &Store, limit: usize) -> Result<HashMap<UserId, SessionInfo>, Failure> {
    let mut found = HashMap::new();
    let mut after = None;
    for _ in 0..10_000 {
        let page = store.list(after.as_ref(), limit).await.answered()?;
        found.extend(page.sessions.into_iter().map(|info| (info.user.clone(), info)));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
    ensure(false, "the list has no end").map(|()| found)
}

async fn an_empty_store_lists_nothing(store: Store) -> Verdict {
    ensure(all(&store, 10).await?.is_empty(), "an empty store lists sessions")?;
    ensure(store.count().await.answered()? == 0, "an empty store counts sessions")?;
    ensure(store.remove_all().await.answered()? == 0, "sessions were removed where none was")
}

async fn the_pages_hold_every_session(store: Store) -> Verdict {
    let logins: Vec<_> = (0..57).map(|i| login(&format!("ü{i}:*?{{x}}"))).collect();
    for login in &logins {
        store.save(login).await.answered()?;
    }
    for limit in [1, 10, 1000] {
        let found = all(&store, limit).await?;
        ensure(found.len() == logins.len(), "the pages hold more or fewer sessions")?;
        for login in &logins {
            let same = found.get(login.user()) == Some(&SessionInfo::from(login));
            ensure(same, "a session is listed with other data than it was saved with")?;
        }
    }
    ensure(store.count().await.answered()? == 57, "the count is another one")
}

async fn what_has_ended_is_neither_listed_nor_counted(store: Store) -> Verdict {
    let user = UserId::new("alice").expect("short and printable");
    let ended = Session::builder(user, AccessToken::new("ended").expect("a token"))
        .expires_at(Utc::now() - TimeDelta::seconds(1))
        .build()
        .expect("a session");
    store.save(&login("bob")).await.answered()?;
    // A store may refuse such a session.
    let _ = store.save(&ended).await;
    let found = all(&store, 10).await?;
    ensure(!found.contains_key(ended.user()), "a session that has ended is listed")?;
    ensure(found.len() == 1, "a live session is not listed")?;
    ensure(store.count().await.answered()? == 1, "a session that has ended is counted")
}

async fn remove_all_leaves_nothing(store: Store) -> Verdict {
    let logins: Vec<_> = (0..57).map(|i| login(&format!("user-{i}"))).collect();
    for login in &logins {
        store.save(login).await.answered()?;
    }
    ensure(store.remove_all().await.answered()? == 57, "remove_all says another number")?;
    for login in &logins {
        let left = store.load(login.user()).await.answered()?;
        ensure(left.is_none(), "remove_all leaves a session")?;
    }
    ensure(all(&store, 10).await?.is_empty(), "a session is listed that was removed")
}

async fn a_session_is_replaced_by_one_with_its_id(store: Store) -> Verdict {
    let old = login("alice");
    store.save(&old).await.answered()?;
    let new = with_id(old.user(), old.id(), "other");
    ensure(store.replace_if_current(&new).await.answered()?, "the current one is not replaced")?;
    let loaded = store.load(old.user()).await.answered()?;
    ensure(loaded.as_ref() == Some(&new), "load gives another session than the new one")?;
    let header = loaded.map(|session| session.authorization());
    ensure(header == Some(new.authorization()), "load gives another token than the new one")
}

async fn a_session_that_is_no_longer_current_is_not_replaced(store: Store) -> Verdict {
    let (old, current) = (login("alice"), login("alice"));
    let replaced = store.replace_if_current(&old).await.answered()?;
    ensure(!replaced, "a session was written where none was")?;
    store.save(&current).await.answered()?;
    let replaced = store.replace_if_current(&old).await.answered()?;
    ensure(!replaced, "a newer session was written over")?;
    let loaded = store.load(current.user()).await.answered()?;
    ensure(loaded.as_ref() == Some(&current), "the current session is not there")
}
