use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::{Answered, Failure, Verdict, cases, ensure};
use crate::secret::AccessToken;
use crate::session::{Session, SessionId};
use crate::store::{Change, ChangeStream, SessionStore};
use crate::user::UserId;

/// Two clients of one backend.
pub(super) struct Pair {
    pub(super) here: Arc<dyn SessionStore>,
    pub(super) there: Arc<dyn SessionStore>,
}

cases![Pair:
    the_store_has_a_feed,
    a_save_is_told_to_others,
    a_save_is_told_to_who_made_it,
    removals_are_told_to_others,
    what_did_not_happen_is_not_told,
    the_changes_of_a_user_come_in_order,
    each_listener_hears_all,
];

fn login() -> Session {
    let name = format!("user-{}", SessionId::random());
    login_of(&UserId::new(name).expect("short and printable"))
}

fn login_of(user: &UserId) -> Session {
    Session::builder(user.clone(), AccessToken::new("6c0350a00925b9bb").expect("a token"))
        .expires_at(Utc::now() + TimeDelta::hours(2))
        .build()
        .expect("a session")
}

fn saved(session: &Session) -> Change {
    Change::Saved { user: session.user().clone(), id: session.id() }
}

fn removed(session: &Session) -> Change {
    Change::Removed { user: session.user().clone() }
}

/// A feed that hears, once it has heard a save.
async fn listening(pair: &Pair, store: &Arc<dyn SessionStore>) -> Result<ChangeStream, Failure> {
    let mut feed = store.changes();
    for _ in 0..100 {
        let probe = login();
        pair.here.save(&probe).await.answered()?;
        let heard = async {
            while let Some(change) = feed.next().await {
                if change == saved(&probe) {
                    return true;
                }
            }
            false
        };
        if tokio::time::timeout(Duration::from_millis(200), heard).await == Ok(true) {
            return Ok(feed);
        }
    }
    ensure(false, "the feed tells nothing").map(|()| feed)
}

/// The next change of this user.
async fn next_of(feed: &mut ChangeStream, user: &UserId) -> Result<Change, Failure> {
    let next = async {
        while let Some(change) = feed.next().await {
            match &change {
                Change::Saved { user: whose, .. } | Change::Removed { user: whose }
                    if whose == user =>
                {
                    return Some(change);
                }
                Change::Lagged | Change::Disconnected => return Some(change),
                _ => {}
            }
        }
        None
    };
    let next = tokio::time::timeout(Duration::from_secs(10), next).await.ok().flatten();
    match next {
        Some(change) => Ok(change),
        None => ensure(false, "the feed does not tell of a change").map(|()| Change::Lagged),
    }
}

async fn hears(feed: &mut ChangeStream, session: &Session, change: &Change) -> Verdict {
    let heard = next_of(feed, session.user()).await?;
    ensure(heard == *change, "the feed tells of something else than what happened")
}

async fn the_store_has_a_feed(pair: Arc<Pair>) -> Verdict {
    ensure(!pair.here.changes().is_none(), "changes() is not implemented")
}

async fn a_save_is_told_to_others(pair: Arc<Pair>) -> Verdict {
    let mut feed = listening(&pair, &pair.there).await?;
    let login = login();
    pair.here.save(&login).await.answered()?;
    hears(&mut feed, &login, &saved(&login)).await
}

async fn a_save_is_told_to_who_made_it(pair: Arc<Pair>) -> Verdict {
    let mut feed = listening(&pair, &pair.here).await?;
    let login = login();
    pair.here.save(&login).await.answered()?;
    hears(&mut feed, &login, &saved(&login)).await
}

async fn removals_are_told_to_others(pair: Arc<Pair>) -> Verdict {
    let mut feed = listening(&pair, &pair.there).await?;
    let (first, second) = (login(), login());
    pair.here.save(&first).await.answered()?;
    hears(&mut feed, &first, &saved(&first)).await?;
    pair.here.remove(first.user()).await.answered()?;
    hears(&mut feed, &first, &removed(&first)).await?;
    pair.here.save(&second).await.answered()?;
    hears(&mut feed, &second, &saved(&second)).await?;
    pair.here.remove_if_current(second.user(), second.id()).await.answered()?;
    hears(&mut feed, &second, &removed(&second)).await
}

async fn what_did_not_happen_is_not_told(pair: Arc<Pair>) -> Verdict {
    let mut feed = listening(&pair, &pair.there).await?;
    let login = login();
    pair.here.remove(login.user()).await.answered()?;
    pair.here.save(&login).await.answered()?;
    pair.here.remove_if_current(login.user(), SessionId::random()).await.answered()?;
    pair.here.remove(login.user()).await.answered()?;
    hears(&mut feed, &login, &saved(&login)).await?;
    hears(&mut feed, &login, &removed(&login)).await
}

async fn the_changes_of_a_user_come_in_order(pair: Arc<Pair>) -> Verdict {
    let mut feed = listening(&pair, &pair.there).await?;
    let user = login().user().clone();
    for _ in 0..50 {
        let login = login_of(&user);
        pair.here.save(&login).await.answered()?;
        pair.there.remove_if_current(&user, login.id()).await.answered()?;
        hears(&mut feed, &login, &saved(&login)).await?;
        hears(&mut feed, &login, &removed(&login)).await?;
    }
    Ok(())
}

async fn each_listener_hears_all(pair: Arc<Pair>) -> Verdict {
    let mut first = listening(&pair, &pair.there).await?;
    let mut second = listening(&pair, &pair.there).await?;
    drop(listening(&pair, &pair.there).await?);
    let login = login();
    pair.here.save(&login).await.answered()?;
    hears(&mut first, &login, &saved(&login)).await?;
    hears(&mut second, &login, &saved(&login)).await
}
