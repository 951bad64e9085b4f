//! Our lease store keeps every rule, and every case of the suite fails for one that breaks its rule.

use std::sync::Arc;
use std::time::Duration;

use moojo_session::conformance;
use moojo_session::{
    DeclineReason, Lease, LeaseHolder, LeaseStore, MemoryLeaseStore, StoreError, UserId,
    async_trait,
};
use parking_lot::Mutex;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_lease_store_conforms() {
    conformance::lease_store(async || MemoryLeaseStore::new()).await.assert_passed();
}

/// Each case, and a defect that it must find.
const DEFECTS: &[(&str, Defect)] = &[
    ("a_lease_is_had_by_one", Defect::GivesToAll),
    ("a_holder_can_prolong_its_lease", Defect::ProlongsNothing),
    ("a_lease_runs_out", Defect::RunsForEver),
    ("a_lease_that_was_given_back_is_free", Defect::KeepsWhatIsReleased),
    ("only_the_holder_gives_a_lease_back", Defect::ReleasesForAnybody),
    ("a_person_who_declined_is_left_alone", Defect::ForgetsDeclines),
    ("only_the_holder_declines", Defect::DeclinesForAnybody),
    ("a_decline_runs_out", Defect::DeclinesForEver),
    ("a_login_clears_the_entry", Defect::ClearsNothing),
    ("users_have_leases_of_their_own", Defect::OneForAll),
    ("one_of_many_at_once_gets_the_lease", Defect::AcquiresInTwoSteps),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_finds_a_lease_store_that_breaks_its_rule() {
    for (case, defect) in DEFECTS {
        let report = conformance::lease_store(async || Broken::new(*defect)).await;
        let outcome = report.outcomes().iter().find(|outcome| outcome.case() == *case);
        assert!(!outcome.unwrap().passed(), "{case} does not find {defect:?}:\n{report}");
    }
    let sound = conformance::lease_store(async || Broken::new(Defect::None)).await;
    sound.assert_passed();
    let cases: Vec<_> = sound.outcomes().iter().map(|outcome| outcome.case()).collect();
    assert_eq!(cases, DEFECTS.iter().map(|(case, _)| *case).collect::<Vec<_>>());
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    None,
    GivesToAll,
    ProlongsNothing,
    RunsForEver,
    KeepsWhatIsReleased,
    ReleasesForAnybody,
    ForgetsDeclines,
    DeclinesForAnybody,
    DeclinesForEver,
    ClearsNothing,
    OneForAll,
    AcquiresInTwoSteps,
}

/// A sound store, but for one defect.
#[derive(Debug)]
struct Broken {
    defect: Defect,
    sound: MemoryLeaseStore,
    last: Arc<Mutex<Option<LeaseHolder>>>,
}

const FOR_EVER: Duration = Duration::from_secs(1 << 20);

impl Broken {
    fn new(defect: Defect) -> Self {
        Self { defect, sound: MemoryLeaseStore::new(), last: Arc::default() }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn key(&self, user: &UserId) -> UserId {
        if self.is(Defect::OneForAll) { UserId::new("all").unwrap() } else { user.clone() }
    }

    /// The holder, or whoever has the lease.
    fn holder_or_any(&self, holder: LeaseHolder, any: bool) -> LeaseHolder {
        self.last.lock().filter(|_| any).unwrap_or(holder)
    }
}

#[async_trait]
impl LeaseStore for Broken {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        let user = &self.key(user);
        let probe = LeaseHolder::random();
        match self.defect {
            Defect::GivesToAll => return Ok(Lease::Acquired),
            Defect::AcquiresInTwoSteps => {
                let lease = self.sound.acquire(user, probe, time).await?;
                self.sound.release(user, probe).await?;
                tokio::task::yield_now().await;
                if lease == Lease::Acquired {
                    self.sound.acquire(user, holder, time).await?;
                }
                return Ok(lease);
            }
            Defect::ProlongsNothing => {
                let lease = self.sound.acquire(user, probe, Duration::ZERO).await?;
                self.sound.release(user, probe).await?;
                if lease != Lease::Acquired {
                    let own = self.sound.release(user, holder).await?;
                    self.sound.acquire(user, holder, Duration::from_secs(60)).await?;
                    return Ok(if own { Lease::Acquired } else { lease });
                }
            }
            _ => {}
        }
        let time = if self.is(Defect::RunsForEver) { FOR_EVER } else { time };
        let lease = self.sound.acquire(user, holder, time).await?;
        if lease == Lease::Acquired {
            *self.last.lock() = Some(holder);
        }
        Ok(lease)
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        if self.is(Defect::KeepsWhatIsReleased) {
            return Ok(true);
        }
        let holder = self.holder_or_any(holder, self.is(Defect::ReleasesForAnybody));
        self.sound.release(&self.key(user), holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        if self.is(Defect::ForgetsDeclines) {
            return self.sound.release(&self.key(user), holder).await;
        }
        let time = if self.is(Defect::DeclinesForEver) { FOR_EVER } else { time };
        let holder = self.holder_or_any(holder, self.is(Defect::DeclinesForAnybody));
        self.sound.decline(&self.key(user), holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        if self.is(Defect::ClearsNothing) {
            return Ok(());
        }
        self.sound.clear(&self.key(user)).await
    }
}
