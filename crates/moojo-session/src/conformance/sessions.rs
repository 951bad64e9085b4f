use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Answered, Failure, Verdict, cases, ensure};
use crate::secret::AccessToken;
use crate::session::{Session, SessionId};
use crate::store::{Change, ChangeStream, SessionStore};
use crate::user::UserId;

type Store = Arc<dyn SessionStore>;

cases![dyn SessionStore:
    an_unknown_user_has_no_session,
    what_was_saved_is_loaded,
    what_was_left_out_stays_out,
    the_largest_session_is_kept_whole,
    a_save_replaces_what_was_there,
    similar_users_are_kept_apart,
    a_session_that_has_ended_is_not_loaded,
    a_removal_says_whether_there_was_a_session,
    remove_if_current_removes_the_current_session,
    remove_if_current_leaves_a_newer_session,
    remove_if_current_is_bound_to_the_user,
    remove_if_current_is_one_step,
    one_of_many_removals_wins,
    a_removed_session_can_be_saved_again,
    the_feed_tells_of_saves_and_removals,
    debug_shows_no_token,
];

/// A user whom no other case and no other run knows.
fn someone() -> UserId {
    named("user")
}

fn named(name: &str) -> UserId {
    UserId::new(format!("{name}-{}", SessionId::random())).expect("short and printable")
}

fn in_two_hours() -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(2)
}

fn session(user: &UserId, token: &str, expires_at: DateTime<Utc>) -> Session {
    let token = AccessToken::new(token).expect("a token");
    Session::builder(user.clone(), token).expires_at(expires_at).build().expect("a session")
}

fn login(user: &UserId) -> Session {
    session(user, "6c0350a00925b9bb", in_two_hours())
}

async fn expect(store: &Store, user: &UserId, session: Option<&Session>) -> Verdict {
    let loaded = store.load(user).await.answered()?;
    ensure(loaded.as_ref() == session, "load gives another session than the last one saved")
}

async fn an_unknown_user_has_no_session(store: Store) -> Verdict {
    ensure(store.load(&someone()).await.answered()?.is_none(), "load gives a session")
}

async fn what_was_saved_is_loaded(store: Store) -> Verdict {
    let user = someone();
    let token = AccessToken::new("tök+e/n==").expect("a token");
    let saved = Session::builder(user.clone(), token)
        .expires_at(in_two_hours())
        .issued_at(in_two_hours() - TimeDelta::minutes(95))
        .public_user_id("a6e8f837-2f6b-478c-a007-82989d000000")
        .public_key("0x0288'; drop table \"é\"")
        .build()
        .expect("a session");
    store.save(&saved).await.answered()?;
    same(&store, &saved).await
}

async fn what_was_left_out_stays_out(store: Store) -> Verdict {
    let saved = login(&someone());
    store.save(&saved).await.answered()?;
    same(&store, &saved).await
}

async fn the_largest_session_is_kept_whole(store: Store) -> Verdict {
    let user = UserId::new("é".repeat(128)).expect("256 bytes");
    let token = AccessToken::new("t".repeat(8000)).expect("8000 bytes");
    let text = "é".repeat(2048);
    let saved = Session::builder(user.clone(), token)
        .expires_at(in_two_hours())
        .public_user_id(text.as_str())
        .public_key(text)
        .build()
        .expect("a session");
    store.save(&saved).await.answered()?;
    let verdict = same(&store, &saved).await;
    // The one user whom other runs know as well.
    store.remove(&user).await.answered()?;
    verdict
}

async fn same(store: &Store, saved: &Session) -> Verdict {
    let loaded = store.load(saved.user()).await.answered()?;
    let Some(loaded) = loaded else { return ensure(false, "load gives nothing after a save") };
    ensure(loaded.user() == saved.user(), "the user is another one")?;
    ensure(loaded.id() == saved.id(), "the session's id is another one")?;
    ensure(loaded.authorization() == saved.authorization(), "the token is another one")?;
    ensure(loaded.authorization().is_sensitive(), "the header is not marked sensitive")?;
    ensure(loaded.expires_at() == saved.expires_at(), "expires_at is another one")?;
    ensure(loaded.issued_at() == saved.issued_at(), "issued_at is another one")?;
    ensure(loaded.public_user_id() == saved.public_user_id(), "public_user_id is another one")?;
    ensure(loaded.public_key() == saved.public_key(), "public_key is another one")
}

async fn a_save_replaces_what_was_there(store: Store) -> Verdict {
    let user = someone();
    // The later login ends earlier: the last one saved counts, not the one that lasts.
    let (old, new) = (login(&user), session(&user, "new", in_two_hours() - TimeDelta::hours(1)));
    store.save(&old).await.answered()?;
    store.save(&new).await.answered()?;
    same(&store, &new).await?;
    ensure(store.remove(&user).await.answered()?, "remove finds nothing")?;
    expect(&store, &user, None).await
}

async fn similar_users_are_kept_apart(store: Store) -> Verdict {
    let name = SessionId::random().to_string();
    let similar = ["", " ", ":", ":x", "/", "*", "%", "?", "\\", "'", "\"", "é", "e\u{301}", "{x}"]
        .map(|end| format!("a{name}{end}"))
        .into_iter()
        .chain([format!("A{name}"), format!("å{name}"), format!(" a{name}"), format!(":a{name}")]);
    let logins: Vec<Session> =
        similar.map(|id| login(&UserId::new(id).expect("short and printable"))).collect();
    for login in &logins {
        store.save(login).await.answered()?;
    }
    for login in &logins {
        expect(&store, login.user(), Some(login)).await?;
    }
    let (first, others) = logins.split_first().expect("many");
    ensure(store.remove(first.user()).await.answered()?, "remove finds nothing")?;
    expect(&store, first.user(), None).await?;
    for login in others {
        expect(&store, login.user(), Some(login)).await?;
    }
    Ok(())
}

async fn a_session_that_has_ended_is_not_loaded(store: Store) -> Verdict {
    let user = someone();
    store.save(&login(&user)).await.answered()?;
    let ended = session(&user, "ended", Utc::now() - TimeDelta::seconds(1));
    // A store may refuse such a session; it may not give it out.
    if store.save(&ended).await.is_ok() {
        expect(&store, &user, None).await?;
    }
    Ok(())
}

async fn a_removal_says_whether_there_was_a_session(store: Store) -> Verdict {
    let user = someone();
    ensure(!store.remove(&user).await.answered()?, "remove says true of an unknown user")?;
    store.save(&login(&user)).await.answered()?;
    ensure(store.remove(&user).await.answered()?, "remove says false of a session")?;
    ensure(!store.remove(&user).await.answered()?, "remove says true a second time")?;
    expect(&store, &user, None).await
}

async fn remove_if_current_removes_the_current_session(store: Store) -> Verdict {
    let user = someone();
    let current = login(&user);
    store.save(&current).await.answered()?;
    let removed = store.remove_if_current(&user, current.id()).await.answered()?;
    ensure(removed, "remove_if_current says false of the current session")?;
    expect(&store, &user, None).await?;
    let again = store.remove_if_current(&user, current.id()).await.answered()?;
    ensure(!again, "remove_if_current says true a second time")
}

async fn remove_if_current_leaves_a_newer_session(store: Store) -> Verdict {
    let user = someone();
    let (old, new) = (login(&user), login(&user));
    store.save(&old).await.answered()?;
    store.save(&new).await.answered()?;
    let removed = store.remove_if_current(&user, old.id()).await.answered()?;
    ensure(!removed, "remove_if_current says true of an older session")?;
    expect(&store, &user, Some(&new)).await
}

async fn remove_if_current_is_bound_to_the_user(store: Store) -> Verdict {
    let (alice, bob) = (login(&named("alice")), login(&named("bob")));
    store.save(&alice).await.answered()?;
    store.save(&bob).await.answered()?;
    let removed = store.remove_if_current(alice.user(), bob.id()).await.answered()?;
    ensure(!removed, "remove_if_current says true of another user's session")?;
    expect(&store, alice.user(), Some(&alice)).await?;
    expect(&store, bob.user(), Some(&bob)).await
}

/// A login at the same time as a late refusal of the older session: the login is there afterwards,
/// whichever comes first.
async fn remove_if_current_is_one_step(store: Store) -> Verdict {
    let user = someone();
    for round in 0..400 {
        let (old, new) = (login(&user), login(&user));
        store.save(&old).await.answered()?;
        let saving = tokio::spawn({
            let (store, new) = (Arc::clone(&store), new.clone());
            async move {
                // Now a little earlier than the removal, now a little later.
                for _ in 0..round % 8 {
                    tokio::task::yield_now().await;
                }
                store.save(&new).await
            }
        });
        let removing = tokio::spawn({
            let (store, user) = (Arc::clone(&store), user.clone());
            async move { store.remove_if_current(&user, old.id()).await }
        });
        joined(removing).await?.answered()?;
        joined(saving).await?.answered()?;
        let kept = store.load(&user).await.answered()?;
        ensure(kept.as_ref() == Some(&new), "a newer session was removed with the older one")?;
    }
    Ok(())
}

async fn one_of_many_removals_wins(store: Store) -> Verdict {
    for _ in 0..20 {
        let current = login(&someone());
        store.save(&current).await.answered()?;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, current) = (Arc::clone(&store), current.clone());
                tokio::spawn(
                    async move { store.remove_if_current(current.user(), current.id()).await },
                )
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(joined(task).await?.answered()?);
        }
        ensure(won == 1, "not exactly one of many removals of one session says true")?;
    }
    Ok(())
}

async fn joined<T>(task: tokio::task::JoinHandle<T>) -> Result<T, Failure> {
    task.await.answered()
}

async fn a_removed_session_can_be_saved_again(store: Store) -> Verdict {
    let saved = login(&someone());
    store.save(&saved).await.answered()?;
    store.remove(saved.user()).await.answered()?;
    store.save(&saved).await.answered()?;
    expect(&store, saved.user(), Some(&saved)).await
}

/// A store without a feed passes.
async fn the_feed_tells_of_saves_and_removals(store: Store) -> Verdict {
    let mut changes = store.changes();
    if changes.is_none() {
        return Ok(());
    }
    let saved = login(&someone());
    let user = saved.user();
    let removal =
        |change: &Change| matches!(change, Change::Removed { user: whose } if whose == user);

    store.save(&saved).await.answered()?;
    let save = Change::Saved { user: user.clone(), id: saved.id() };
    tells_of(&mut changes, |change| *change == save, "the feed does not tell of a save").await?;
    store.remove(user).await.answered()?;
    tells_of(&mut changes, removal, "the feed does not tell of a removal").await?;
    store.save(&saved).await.answered()?;
    store.remove_if_current(user, saved.id()).await.answered()?;
    tells_of(&mut changes, removal, "the feed does not tell of a remove_if_current").await
}

async fn tells_of(
    changes: &mut ChangeStream,
    told: impl Fn(&Change) -> bool,
    otherwise: &str,
) -> Verdict {
    let wait = async {
        while let Some(change) = changes.next().await {
            if change == Change::Lagged || told(&change) {
                return true;
            }
        }
        false
    };
    let told = tokio::time::timeout(Duration::from_secs(10), wait).await;
    ensure(told == Ok(true), otherwise)
}

async fn debug_shows_no_token(store: Store) -> Verdict {
    let saved = session(&someone(), "planted-token", in_two_hours());
    store.save(&saved).await.answered()?;
    ensure(!format!("{store:?}").contains("planted"), "Debug of the store shows a token")
}
