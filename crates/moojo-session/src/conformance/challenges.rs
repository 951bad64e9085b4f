use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Answered, Verdict, cases, ensure};
use crate::challenge::{Admission, Challenge, ChallengeStore, Quota};
use crate::session::SessionId;
use crate::user::UserId;

type Store = Arc<dyn ChallengeStore>;

cases![dyn ChallengeStore:
    an_unknown_user_has_no_challenge,
    what_was_written_is_loaded,
    a_first_record_is_not_written_over_another,
    a_record_is_only_written_over_the_revision_expected,
    a_record_is_not_taken_for_lapsed_by_a_caller_whose_clock_is_ahead,
    a_record_that_has_lapsed_makes_room,
    a_record_is_only_removed_at_the_revision_expected,
    one_of_many_writers_wins,
    users_are_kept_apart,
    a_quota_is_kept,
    a_quota_comes_back_use_by_use,
    a_refused_use_is_not_counted,
    the_latest_use_can_be_given_back,
    many_at_once_do_not_exceed_a_quota,
    debug_shows_no_number,
];

const NUMBER: &str = "+15559876543";

fn someone() -> UserId {
    UserId::new(format!("user-{}", SessionId::random())).expect("short and printable")
}

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn opened(user: &UserId, now: DateTime<Utc>) -> Challenge {
    let (resend_at, lapses_at) = (now + TimeDelta::seconds(30), now + TimeDelta::minutes(10));
    Challenge::open(user.clone(), NUMBER, now, resend_at, lapses_at)
}

/// A record that is in the store.
async fn written(store: &Store, user: &UserId) -> Result<Challenge, super::Failure> {
    let challenge = opened(user, now());
    ensure(store.swap(None, &challenge, now()).await.answered()?, "a first record is refused")?;
    Ok(challenge)
}

async fn expect(store: &Store, user: &UserId, expected: Option<&Challenge>) -> Verdict {
    let loaded = store.load(user).await.answered()?;
    ensure(loaded.as_ref() == expected, "load gives another record than the last one written")
}

async fn an_unknown_user_has_no_challenge(store: Store) -> Verdict {
    expect(&store, &someone(), None).await
}

async fn what_was_written_is_loaded(store: Store) -> Verdict {
    let user = someone();
    let mut last = written(&store, &user).await?;
    expect(&store, &user, Some(&last)).await?;
    let steps: [fn(&Challenge) -> Challenge; 6] = [
        Challenge::sent,
        Challenge::attempted,
        Challenge::unknown,
        Challenge::not_attempted,
        |challenge| challenge.refused(challenge.lapses_at()),
        |challenge| challenge.redeemed(SessionId::random()),
    ];
    for step in steps {
        let next = step(&last);
        let swapped = store.swap(Some(last.revision()), &next, now()).await.answered()?;
        ensure(swapped, "a next record is refused")?;
        expect(&store, &user, Some(&next)).await?;
        last = next;
    }
    Ok(())
}

async fn a_first_record_is_not_written_over_another(store: Store) -> Verdict {
    let user = someone();
    let first = written(&store, &user).await?;
    let other = opened(&user, now());
    ensure(!store.swap(None, &other, now()).await.answered()?, "a record was written over")?;
    expect(&store, &user, Some(&first)).await
}

async fn a_record_is_only_written_over_the_revision_expected(store: Store) -> Verdict {
    let user = someone();
    let first = written(&store, &user).await?;
    let sent = first.sent();
    let early = store.swap(Some(sent.revision()), &sent, now()).await.answered()?;
    ensure(!early, "a record was written over another revision")?;
    let swapped = store.swap(Some(first.revision()), &sent, now()).await.answered()?;
    ensure(swapped, "a next record is refused")?;
    let late = store.swap(Some(first.revision()), &first.unknown(), now()).await.answered()?;
    ensure(!late, "a record was written over a newer revision")?;
    let nobody = opened(&someone(), now());
    let of_none = store.swap(Some(nobody.revision()), &nobody.sent(), now()).await.answered()?;
    ensure(!of_none, "a record was written where none was")?;
    expect(&store, &user, Some(&sent)).await
}

async fn a_record_is_not_taken_for_lapsed_by_a_caller_whose_clock_is_ahead(
    store: Store,
) -> Verdict {
    let user = someone();
    let first = written(&store, &user).await?;
    let later = first.lapses_at();
    let swapped = store.swap(None, &opened(&user, later), later).await.answered()?;
    ensure(!swapped, "a record was written over by a caller who did not know of it")?;
    expect(&store, &user, Some(&first)).await
}

async fn a_record_that_has_lapsed_makes_room(store: Store) -> Verdict {
    let user = someone();
    let long_ago = now() - TimeDelta::hours(1);
    let first = opened(&user, long_ago);
    ensure(store.swap(None, &first, long_ago).await.answered()?, "a first record is refused")?;
    let there = store.load(&user).await.answered()?;
    ensure(there.as_ref().is_none_or(|there| *there == first), "load gives another record")?;
    let second = opened(&user, now());
    let swapped = store.swap(there.map(|c| c.revision()), &second, now()).await.answered()?;
    ensure(swapped, "a record that has lapsed is in the way")?;
    expect(&store, &user, Some(&second)).await
}

async fn a_record_is_only_removed_at_the_revision_expected(store: Store) -> Verdict {
    let user = someone();
    let first = written(&store, &user).await?;
    let other = first.sent().revision();
    ensure(!store.remove(&user, other).await.answered()?, "another revision was removed")?;
    expect(&store, &user, Some(&first)).await?;
    ensure(store.remove(&user, first.revision()).await.answered()?, "remove says false")?;
    ensure(!store.remove(&user, first.revision()).await.answered()?, "remove says true again")?;
    expect(&store, &user, None).await
}

async fn one_of_many_writers_wins(store: Store) -> Verdict {
    for _ in 0..20 {
        let user = someone();
        let first = written(&store, &user).await?;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, first) = (Arc::clone(&store), first.clone());
                tokio::spawn(async move {
                    store.swap(Some(first.revision()), &first.attempted(), now()).await
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.answered()?.answered()?);
        }
        ensure(won == 1, "not exactly one of many writers over one revision wins")?;
    }
    Ok(())
}

async fn users_are_kept_apart(store: Store) -> Verdict {
    let (alice, bob) = (someone(), someone());
    let alices = written(&store, &alice).await?;
    let bobs = written(&store, &bob).await?;
    store.remove(&alice, alices.revision()).await.answered()?;
    expect(&store, &alice, None).await?;
    expect(&store, &bob, Some(&bobs)).await
}

/// A quota whose key no other case knows.
fn key() -> String {
    format!("sends:{}", someone())
}

fn three_an_hour(key: &str) -> Quota<'_> {
    Quota { key, limit: 3, window: Duration::from_secs(3600) }
}

async fn uses(store: &Store, key: &str, at: DateTime<Utc>, count: usize) -> Verdict {
    for _ in 0..count {
        let admission = store.admit(&three_an_hour(key), at).await.answered()?;
        ensure(admission == Admission::Granted, "a use within the quota is refused")?;
    }
    Ok(())
}

async fn a_quota_is_kept(store: Store) -> Verdict {
    let (here, there, at) = (key(), key(), now());
    uses(&store, &here, at, 3).await?;
    let refused = store.admit(&three_an_hour(&here), at).await.answered()?;
    let until = at + TimeDelta::hours(1);
    ensure(refused == Admission::Refused { until }, "a use over the quota is not refused")?;
    uses(&store, &there, at, 3).await
}

async fn a_quota_comes_back_use_by_use(store: Store) -> Verdict {
    let (key, start) = (key(), now());
    let at = |minutes| start + TimeDelta::minutes(minutes);
    for minutes in [0, 20, 40] {
        uses(&store, &key, at(minutes), 1).await?;
    }
    let refused = store.admit(&three_an_hour(&key), at(59)).await.answered()?;
    ensure(refused == Admission::Refused { until: at(60) }, "the window is not a sliding one")?;
    uses(&store, &key, at(60), 1).await?;
    let refused = store.admit(&three_an_hour(&key), at(60)).await.answered()?;
    ensure(refused == Admission::Refused { until: at(80) }, "more than one use came back")
}

async fn a_refused_use_is_not_counted(store: Store) -> Verdict {
    let (key, at) = (key(), now());
    uses(&store, &key, at, 3).await?;
    for minutes in 0..50 {
        let _ = store.admit(&three_an_hour(&key), at + TimeDelta::minutes(minutes)).await;
    }
    uses(&store, &key, at + TimeDelta::hours(1), 3).await
}

async fn the_latest_use_can_be_given_back(store: Store) -> Verdict {
    let (key, start) = (key(), now());
    let at = |minutes| start + TimeDelta::minutes(minutes);
    store.give_back(&three_an_hour(&key), at(0)).await.answered()?;
    uses(&store, &key, at(0), 2).await?;
    uses(&store, &key, at(30), 1).await?;
    store.give_back(&three_an_hour(&key), at(30)).await.answered()?;
    uses(&store, &key, at(40), 1).await?;
    let refused = store.admit(&three_an_hour(&key), at(40)).await.answered()?;
    ensure(refused == Admission::Refused { until: at(60) }, "not one use was given back")?;
    uses(&store, &key, at(60), 2).await?;
    let refused = store.admit(&three_an_hour(&key), at(60)).await.answered()?;
    ensure(refused == Admission::Refused { until: at(100) }, "not the latest use was given back")
}

async fn many_at_once_do_not_exceed_a_quota(store: Store) -> Verdict {
    for _ in 0..50 {
        let (key, at) = (key(), now());
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (store, key) = (Arc::clone(&store), key.clone());
                tokio::spawn(async move { store.admit(&three_an_hour(&key), at).await })
            })
            .collect();
        let mut granted = 0;
        for task in tasks {
            granted += usize::from(task.await.answered()?.answered()? == Admission::Granted);
        }
        ensure(granted == 3, "many uses at once exceed the quota, or fall short of it")?;
    }
    Ok(())
}

async fn debug_shows_no_number(store: Store) -> Verdict {
    let user = someone();
    written(&store, &user).await?;
    let key = format!("sends:{NUMBER}");
    store.admit(&three_an_hour(&key), now()).await.answered()?;
    let printed = format!("{store:?} {:?}", three_an_hour(&key));
    ensure(!printed.contains(&NUMBER[1..]), "Debug of the store shows a phone number")
}
