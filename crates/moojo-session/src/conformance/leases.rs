use std::sync::Arc;
use std::time::Duration;

use super::{Answered, Verdict, cases, ensure};
use crate::lease::{Lease, LeaseHolder, LeaseStore};
use crate::reauth::DeclineReason;
use crate::session::SessionId;
use crate::user::UserId;

type Store = Arc<dyn LeaseStore>;

cases![dyn LeaseStore:
    a_lease_is_had_by_one,
    a_holder_can_prolong_its_lease,
    a_lease_runs_out,
    a_lease_that_was_given_back_is_free,
    only_the_holder_gives_a_lease_back,
    a_person_who_declined_is_left_alone,
    only_the_holder_declines,
    a_decline_runs_out,
    a_login_clears_the_entry,
    users_have_leases_of_their_own,
    one_of_many_at_once_gets_the_lease,
];

const MINUTE: Duration = Duration::from_secs(60);
/// Long for a test to wait, short for a server.
const SHORT: Duration = Duration::from_millis(60);

fn someone() -> UserId {
    UserId::new(format!("user-{}", SessionId::random())).expect("short and printable")
}

/// A user whose lease is held for this long.
async fn held(store: &Store, time: Duration) -> Result<(UserId, LeaseHolder), super::Failure> {
    let (user, holder) = (someone(), LeaseHolder::random());
    let lease = store.acquire(&user, holder, time).await.answered()?;
    ensure(lease == Lease::Acquired, "a lease that nobody has is refused")?;
    Ok((user, holder))
}

async fn is_held(store: &Store, user: &UserId) -> Verdict {
    match store.acquire(user, LeaseHolder::random(), MINUTE).await.answered()? {
        Lease::Held(left) => {
            ensure(left <= MINUTE, "the lease is said to be held for longer than it is")
        }
        _ => ensure(false, "a lease that somebody has is not said to be held"),
    }
}

async fn is_free(store: &Store, user: &UserId) -> Verdict {
    let lease = store.acquire(user, LeaseHolder::random(), MINUTE).await.answered()?;
    ensure(lease == Lease::Acquired, "the lease is not free")
}

/// Waits until `acquire` gives the lease, which it has to within a while.
async fn becomes_free(store: &Store, user: &UserId) -> Verdict {
    for _ in 0..200 {
        let lease = store.acquire(user, LeaseHolder::random(), MINUTE).await.answered()?;
        if lease == Lease::Acquired {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure(false, "an entry whose time is over stays")
}

async fn a_lease_is_had_by_one(store: Store) -> Verdict {
    let (user, _) = held(&store, MINUTE).await?;
    is_held(&store, &user).await
}

async fn a_holder_can_prolong_its_lease(store: Store) -> Verdict {
    let (user, holder) = held(&store, MINUTE).await?;
    let again = store.acquire(&user, holder, 10 * MINUTE).await.answered()?;
    ensure(again == Lease::Acquired, "the holder cannot prolong its lease")?;
    match store.acquire(&user, LeaseHolder::random(), MINUTE).await.answered()? {
        Lease::Held(left) => ensure(left > 2 * MINUTE, "a lease is not prolonged"),
        _ => ensure(false, "a lease that was prolonged is not held"),
    }
}

async fn a_lease_runs_out(store: Store) -> Verdict {
    let (user, _) = held(&store, SHORT).await?;
    becomes_free(&store, &user).await
}

async fn a_lease_that_was_given_back_is_free(store: Store) -> Verdict {
    let (user, holder) = held(&store, MINUTE).await?;
    ensure(store.release(&user, holder).await.answered()?, "release says false to the holder")?;
    ensure(!store.release(&user, holder).await.answered()?, "release says true again")?;
    is_free(&store, &user).await
}

async fn only_the_holder_gives_a_lease_back(store: Store) -> Verdict {
    let (user, _) = held(&store, MINUTE).await?;
    let other = store.release(&user, LeaseHolder::random()).await.answered()?;
    ensure(!other, "release says true to somebody else")?;
    is_held(&store, &user).await
}

async fn a_person_who_declined_is_left_alone(store: Store) -> Verdict {
    for reason in [DeclineReason::NotNow, DeclineReason::NoAnswer, DeclineReason::Unreachable] {
        let (user, holder) = held(&store, MINUTE).await?;
        let declined = store.decline(&user, holder, reason, 10 * MINUTE).await.answered()?;
        ensure(declined, "decline says false to the holder")?;
        for who in [holder, LeaseHolder::random()] {
            match store.acquire(&user, who, MINUTE).await.answered()? {
                Lease::Declined(why, left) => {
                    ensure(why == reason, "the reason is another one")?;
                    ensure(left > 2 * MINUTE && left <= 10 * MINUTE, "the time is another one")?;
                }
                _ => ensure(false, "a person who declined can be asked")?,
            }
        }
        ensure(!store.release(&user, holder).await.answered()?, "release ends a decline")?;
    }
    Ok(())
}

async fn only_the_holder_declines(store: Store) -> Verdict {
    let (user, _) = held(&store, MINUTE).await?;
    let (other, reason) = (LeaseHolder::random(), DeclineReason::NotNow);
    let declined = store.decline(&user, other, reason, MINUTE).await.answered()?;
    ensure(!declined, "decline says true to somebody else")?;
    is_held(&store, &user).await?;
    let nobody = store.decline(&someone(), other, reason, MINUTE).await.answered()?;
    ensure(!nobody, "decline says true without a lease")
}

async fn a_decline_runs_out(store: Store) -> Verdict {
    let (user, holder) = held(&store, MINUTE).await?;
    store.decline(&user, holder, DeclineReason::NotNow, SHORT).await.answered()?;
    becomes_free(&store, &user).await
}

async fn a_login_clears_the_entry(store: Store) -> Verdict {
    let (user, holder) = held(&store, MINUTE).await?;
    store.clear(&user).await.answered()?;
    ensure(!store.release(&user, holder).await.answered()?, "clear leaves the lease")?;
    let (user, holder) = held(&store, MINUTE).await?;
    store.decline(&user, holder, DeclineReason::NotNow, MINUTE).await.answered()?;
    store.clear(&user).await.answered()?;
    is_free(&store, &user).await
}

async fn users_have_leases_of_their_own(store: Store) -> Verdict {
    let (alice, holder) = held(&store, MINUTE).await?;
    let bob = UserId::new(format!("{alice}:")).expect("short and printable");
    is_free(&store, &bob).await?;
    store.release(&alice, holder).await.answered()?;
    is_held(&store, &bob).await
}

async fn one_of_many_at_once_gets_the_lease(store: Store) -> Verdict {
    for _ in 0..20 {
        let user = someone();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, user) = (Arc::clone(&store), user.clone());
                tokio::spawn(
                    async move { store.acquire(&user, LeaseHolder::random(), MINUTE).await },
                )
            })
            .collect();
        let mut acquired = 0;
        for task in tasks {
            acquired += usize::from(task.await.answered()?.answered()? == Lease::Acquired);
        }
        ensure(acquired == 1, "not exactly one of many at once gets the lease")?;
    }
    Ok(())
}
