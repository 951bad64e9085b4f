//! Our stores keep every rule; and every case of the suite fails for a store that breaks its rule,
//! or the suite would prove nothing.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use moojo_session::conformance::{self, Report};
use moojo_session::{
    AccessToken, Admission, Challenge, ChallengeStore, Change, ChangeStream, MemoryChallengeStore,
    MemoryStore, Quota, Revision, Session, SessionId, SessionStore, StoreError, UserId,
    async_trait,
};
use parking_lot::Mutex;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms() {
    conformance::session_store(async || MemoryStore::new()).await.assert_passed();
    let bounded = async || MemoryStore::builder().capacity(1000).build();
    conformance::session_store(bounded).await.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_challenge_store_conforms() {
    conformance::challenge_store(async || MemoryChallengeStore::new()).await.assert_passed();
}

/// Each case, and a defect that it must find.
const SESSION_DEFECTS: &[(&str, Defect)] = &[
    ("an_unknown_user_has_no_session", Defect::InventsSessions),
    ("what_was_saved_is_loaded", Defect::ForgetsPublicKey),
    ("what_was_left_out_stays_out", Defect::FillsIn),
    ("the_largest_session_is_kept_whole", Defect::CutsTokens),
    ("a_save_replaces_what_was_there", Defect::KeepsTheLongest),
    ("similar_users_are_kept_apart", Defect::FoldsCase),
    ("a_session_that_has_ended_is_not_loaded", Defect::GivesEnded),
    ("a_removal_says_whether_there_was_a_session", Defect::RemovesAlways),
    ("remove_if_current_removes_the_current_session", Defect::RemovesNothing),
    ("remove_if_current_leaves_a_newer_session", Defect::RemovesAny),
    ("remove_if_current_is_bound_to_the_user", Defect::RemovesById),
    ("remove_if_current_is_one_step", Defect::RemovesInTwoSteps),
    ("one_of_many_removals_wins", Defect::RemovesInTwoSteps),
    ("a_removed_session_can_be_saved_again", Defect::LeavesTombstones),
    ("the_feed_tells_of_saves_and_removals", Defect::SilentRemovals),
    ("debug_shows_no_token", Defect::Talkative),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_finds_a_store_that_breaks_its_rule() {
    for (case, defect) in SESSION_DEFECTS {
        let report = conformance::session_store(async || Broken::new(*defect)).await;
        assert_failed(&report, case);
    }
    let sound = conformance::session_store(async || Broken::new(Defect::None)).await;
    sound.assert_passed();
    let cases: Vec<_> = sound.outcomes().iter().map(|outcome| outcome.case()).collect();
    assert_eq!(cases, SESSION_DEFECTS.iter().map(|(case, _)| *case).collect::<Vec<_>>());
}

fn assert_failed(report: &Report, case: &str) {
    let outcome = report.outcomes().iter().find(|outcome| outcome.case() == case).unwrap();
    assert!(!outcome.passed(), "{case} finds nothing:\n{report}");
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    None,
    InventsSessions,
    ForgetsPublicKey,
    FillsIn,
    CutsTokens,
    KeepsTheLongest,
    FoldsCase,
    GivesEnded,
    RemovesAlways,
    RemovesNothing,
    RemovesAny,
    RemovesById,
    RemovesInTwoSteps,
    LeavesTombstones,
    SilentRemovals,
    Talkative,
}

struct Broken {
    defect: Defect,
    map: Mutex<HashMap<UserId, Session>>,
    tombstones: Mutex<Vec<SessionId>>,
    feed: MemoryStore,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        let (map, tombstones) = Default::default();
        Self { defect, map, tombstones, feed: MemoryStore::new() }
    }

    fn key(&self, user: &UserId) -> UserId {
        match self.defect {
            Defect::FoldsCase => UserId::new(user.as_str().to_lowercase()).unwrap(),
            _ => user.clone(),
        }
    }
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.map.lock().values().map(|s| s.access_token()).collect::<Vec<_>>();
        for token in tokens.iter().filter(|_| self.defect == Defect::Talkative) {
            f.write_str(token.expose_secret())?;
        }
        f.write_str("Broken")
    }
}

fn altered(session: &Session, token: &str, key: Option<&str>) -> Session {
    let mut copy = Session::builder(session.user().clone(), AccessToken::new(token).unwrap())
        .id(session.id())
        .issued_at(session.issued_at())
        .expires_at(session.expires_at());
    if let Some(id) = session.public_user_id() {
        copy = copy.public_user_id(id);
    }
    if let Some(key) = key {
        copy = copy.public_key(key);
    }
    copy.build().unwrap()
}

#[async_trait]
impl SessionStore for Broken {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let found = self.map.lock().get(&self.key(user)).cloned();
        if found.is_none() && self.defect == Defect::InventsSessions {
            let any = Session::builder(user.clone(), AccessToken::new("t").unwrap());
            return Ok(Some(any.expires_at(Utc::now()).build().unwrap()));
        }
        let ended = |session: &Session| session.has_expired_at(Utc::now());
        Ok(found.filter(|session| self.defect == Defect::GivesEnded || !ended(session)))
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let token = session.access_token().expose_secret().to_owned();
        let kept = match self.defect {
            Defect::ForgetsPublicKey => altered(session, &token, None),
            Defect::FillsIn => altered(session, &token, session.public_key().or(Some(""))),
            Defect::CutsTokens => {
                altered(session, &token[..token.len().min(4096)], session.public_key())
            }
            _ => session.clone(),
        };
        if self.defect == Defect::LeavesTombstones && self.tombstones.lock().contains(&kept.id()) {
            return self.feed.save(session).await;
        }
        {
            let mut map = self.map.lock();
            let key = self.key(session.user());
            let longer = |there: &Session| there.expires_at() > kept.expires_at();
            if self.defect == Defect::KeepsTheLongest && map.get(&key).is_some_and(longer) {
                return Ok(());
            }
            map.insert(key, kept);
        }
        self.feed.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        let removed = self.map.lock().remove(&self.key(user));
        self.tombstones.lock().extend(removed.as_ref().map(Session::id));
        if self.defect != Defect::SilentRemovals {
            self.feed.remove(user).await?;
        }
        Ok(removed.is_some() || self.defect == Defect::RemovesAlways)
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        let is_current =
            |session: &Session| session.id() == id || self.defect == Defect::RemovesAny;
        if self.defect != Defect::SilentRemovals {
            self.feed.remove_if_current(user, id).await?;
        }
        if self.defect == Defect::RemovesById {
            let mut map = self.map.lock();
            let owner = map.values().find(|s| s.id() == id).map(|s| s.user().clone());
            return Ok(owner.is_some_and(|owner| map.remove(&owner).is_some()));
        }
        let current = self.map.lock().get(&self.key(user)).is_some_and(is_current);
        if self.defect == Defect::RemovesInTwoSteps {
            tokio::task::yield_now().await;
            if current {
                self.map.lock().remove(&self.key(user));
            }
            return Ok(current);
        }
        if self.defect == Defect::RemovesNothing {
            return Ok(current);
        }
        let removed = {
            let mut map = self.map.lock();
            let current = map.get(&self.key(user)).is_some_and(is_current);
            current && map.remove(&self.key(user)).is_some()
        };
        Ok(removed)
    }

    fn changes(&self) -> ChangeStream {
        self.feed.changes()
    }
}

const CHALLENGE_DEFECTS: &[(&str, Slip)] = &[
    ("an_unknown_user_has_no_challenge", Slip::Invents),
    ("what_was_written_is_loaded", Slip::ForgetsAttempts),
    ("a_first_record_is_not_written_over_another", Slip::WritesOver),
    ("a_record_is_only_written_over_the_revision_expected", Slip::WritesOver),
    (
        "a_record_is_not_taken_for_lapsed_by_a_caller_whose_clock_is_ahead",
        Slip::TrustsTheCallersClock,
    ),
    ("a_record_that_has_lapsed_makes_room", Slip::HidesWhatIsInTheWay),
    ("a_record_is_only_removed_at_the_revision_expected", Slip::RemovesAny),
    ("one_of_many_writers_wins", Slip::WritesOver),
    ("users_are_kept_apart", Slip::OneForAll),
    ("a_quota_is_kept", Slip::NoQuota),
    ("a_quota_comes_back_use_by_use", Slip::FixedWindow),
    ("a_refused_use_is_not_counted", Slip::CountsRefused),
    ("the_latest_use_can_be_given_back", Slip::KeepsUses),
    ("many_at_once_do_not_exceed_a_quota", Slip::CountsInTwoSteps),
    ("debug_shows_no_number", Slip::Talkative),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_finds_a_challenge_store_that_breaks_its_rule() {
    for (case, slip) in CHALLENGE_DEFECTS {
        let report = conformance::challenge_store(async || Slipping::new(*slip)).await;
        assert_failed(&report, case);
    }
    let sound = conformance::challenge_store(async || Slipping::new(Slip::None)).await;
    sound.assert_passed();
    let cases: Vec<_> = sound.outcomes().iter().map(|outcome| outcome.case()).collect();
    assert_eq!(cases, CHALLENGE_DEFECTS.iter().map(|(case, _)| *case).collect::<Vec<_>>());
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Slip {
    None,
    Invents,
    ForgetsAttempts,
    WritesOver,
    TrustsTheCallersClock,
    HidesWhatIsInTheWay,
    RemovesAny,
    OneForAll,
    NoQuota,
    FixedWindow,
    CountsRefused,
    KeepsUses,
    CountsInTwoSteps,
    Talkative,
}

/// A sound store, but for one slip.
struct Slipping {
    slip: Slip,
    sound: MemoryChallengeStore,
    seen: Mutex<Vec<UserId>>,
    uses: Arc<Mutex<HashMap<String, Vec<DateTime<Utc>>>>>,
}

impl Slipping {
    fn new(slip: Slip) -> Self {
        let (sound, seen, uses) = Default::default();
        Self { slip, sound, seen, uses }
    }
}

impl std::fmt::Debug for Slipping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = if self.slip == Slip::Talkative { "+15559876543" } else { "" };
        write!(f, "Slipping{number}")
    }
}

#[async_trait]
impl ChallengeStore for Slipping {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        match self.slip {
            Slip::Invents => {
                let now = Utc::now();
                let lapses_at = now + chrono::TimeDelta::hours(1);
                Ok(Some(Challenge::open(user.clone(), "+1", now, now, lapses_at)))
            }
            Slip::HidesWhatIsInTheWay => {
                let there = self.sound.load(user).await?;
                Ok(there.filter(|there| Utc::now() < there.lapses_at()))
            }
            _ => self.sound.load(user).await,
        }
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.seen.lock().push(next.user().clone());
        match self.slip {
            Slip::WritesOver => {
                let there = self.sound.load(next.user()).await?;
                self.sound.swap(there.map(|c| c.revision()), next, now).await?;
                Ok(true)
            }
            Slip::TrustsTheCallersClock if expected.is_none() => {
                let there = self.sound.load(next.user()).await?;
                let lapsed = there.filter(|there| there.lapses_at() <= now);
                self.sound.swap(lapsed.map(|c| c.revision()), next, now).await
            }
            Slip::ForgetsAttempts if next.attempts() > 0 => {
                self.sound.swap(expected, &next.not_attempted(), now).await
            }
            _ => self.sound.swap(expected, next, now).await,
        }
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        let whose = match self.slip {
            Slip::RemovesAny => vec![user.clone()],
            Slip::OneForAll => self.seen.lock().clone(),
            _ => return self.sound.remove(user, expected).await,
        };
        for user in whose {
            if let Some(there) = self.sound.load(&user).await? {
                self.sound.remove(&user, there.revision()).await?;
            }
        }
        Ok(true)
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        let window = chrono::TimeDelta::from_std(quota.window).unwrap();
        let count = |from: DateTime<Utc>| {
            let uses = self.uses.lock();
            uses.get(quota.key).map_or(0, |u| u.iter().filter(|at| **at > from).count())
        };
        let note = || self.uses.lock().entry(quota.key.to_owned()).or_default().push(now);
        let refused = Admission::Refused { until: now + window };
        match self.slip {
            Slip::NoQuota => Ok(Admission::Granted),
            Slip::CountsRefused => {
                let full = count(now - window) >= quota.limit as usize;
                note();
                Ok(if full { refused } else { Admission::Granted })
            }
            Slip::CountsInTwoSteps => {
                let full = count(now - window) >= quota.limit as usize;
                tokio::task::yield_now().await;
                note();
                Ok(if full { refused } else { Admission::Granted })
            }
            Slip::FixedWindow => {
                let start = self.uses.lock().get(quota.key).and_then(|u| u.first().copied());
                if start.is_some_and(|start| now - start >= window) {
                    self.uses.lock().remove(quota.key);
                }
                let full = count(DateTime::<Utc>::MIN_UTC) >= quota.limit as usize;
                if !full {
                    note();
                }
                let until = start.unwrap_or(now) + window;
                Ok(if full { Admission::Refused { until } } else { Admission::Granted })
            }
            _ => self.sound.admit(quota, now).await,
        }
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        match self.slip {
            Slip::KeepsUses => Ok(()),
            _ => self.sound.give_back(quota, now).await,
        }
    }
}

#[tokio::test]
async fn a_store_without_a_feed_has_a_stream_that_ends() {
    let mut none = ChangeStream::none();
    assert_eq!(none.next().await, None::<Change>);
}
