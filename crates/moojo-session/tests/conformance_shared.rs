//! What several processes need of a store: its feed and its administration. Our store has both, and
//! every case of the suites fails for one that breaks its rule.

use futures_util::StreamExt;
use moojo_session::conformance::{self, Report};
use moojo_session::{
    Change, ChangeStream, MemoryStore, Page, PageToken, Session, SessionAdmin, SessionId,
    SessionStore, StoreError, UserId, async_trait,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms() {
    conformance::session_admin(async || MemoryStore::new()).await.assert_passed();
    let pair = async || {
        let store = MemoryStore::new();
        (store.clone(), store)
    };
    conformance::change_feed(pair).await.assert_passed();
}

const FEED_DEFECTS: &[(&str, Defect)] = &[
    ("the_store_has_a_feed", Defect::NoFeed),
    ("a_save_is_told_to_others", Defect::TellsNobody),
    ("a_save_is_told_to_who_made_it", Defect::TellsNobody),
    ("removals_are_told_to_others", Defect::SilentRemovals),
    ("what_did_not_happen_is_not_told", Defect::TellsTooMuch),
    ("the_changes_of_a_user_come_in_order", Defect::TellsTwice),
    ("each_listener_hears_all", Defect::TellsNobody),
];

const ADMIN_DEFECTS: &[(&str, Defect)] = &[
    ("an_empty_store_lists_nothing", Defect::CountsOneMore),
    ("the_pages_hold_every_session", Defect::OnePageOnly),
    ("what_has_ended_is_neither_listed_nor_counted", Defect::CountsOneMore),
    ("remove_all_leaves_nothing", Defect::RemovesNothing),
    ("a_session_is_replaced_by_one_with_its_id", Defect::ReplacesNothing),
    ("a_session_that_is_no_longer_current_is_not_replaced", Defect::ReplacesAny),
];

// Nothing is to come for most of these: tokio's clock jumps ahead meanwhile.
#[tokio::test(start_paused = true)]
async fn every_case_finds_a_feed_that_breaks_its_rule() {
    let run = async |defect| {
        conformance::change_feed(async || {
            let store = MemoryStore::new();
            (Broken { defect, sound: store.clone() }, Broken { defect, sound: store })
        })
        .await
    };
    for (case, defect) in FEED_DEFECTS {
        assert_failed(&run(*defect).await, case);
    }
    assert_all_passed(&run(Defect::None).await, FEED_DEFECTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_finds_an_administration_that_breaks_its_rule() {
    let run = async |defect| {
        conformance::session_admin(async || Broken { defect, sound: MemoryStore::new() }).await
    };
    for (case, defect) in ADMIN_DEFECTS {
        assert_failed(&run(*defect).await, case);
    }
    assert_all_passed(&run(Defect::None).await, ADMIN_DEFECTS);
}

fn assert_failed(report: &Report, case: &str) {
    let outcome = report.outcomes().iter().find(|outcome| outcome.case() == case);
    assert!(!outcome.unwrap().passed(), "{case} passes:\n{report}");
}

fn assert_all_passed(report: &Report, defects: &[(&str, Defect)]) {
    report.assert_passed();
    let cases: Vec<_> = report.outcomes().iter().map(|outcome| outcome.case()).collect();
    assert_eq!(cases, defects.iter().map(|(case, _)| *case).collect::<Vec<_>>());
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    None,
    NoFeed,
    TellsNobody,
    SilentRemovals,
    TellsTooMuch,
    TellsTwice,
    CountsOneMore,
    OnePageOnly,
    RemovesNothing,
    ReplacesNothing,
    ReplacesAny,
}

/// A sound store, but for one defect.
#[derive(Debug)]
struct Broken {
    defect: Defect,
    sound: MemoryStore,
}

impl Broken {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }
}

#[async_trait]
impl SessionStore for Broken {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.sound.load(user).await
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.sound.save(session).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        if self.is(Defect::TellsTooMuch) && self.sound.load(user).await?.is_none() {
            // Told, though there was nothing to remove.
            let token = moojo_session::AccessToken::new("none").unwrap();
            let ends = chrono::Utc::now() + chrono::TimeDelta::hours(1);
            let none = Session::builder(user.clone(), token).expires_at(ends).build().unwrap();
            self.sound.save(&none).await?;
            self.sound.remove(user).await?;
            return Ok(false);
        }
        self.sound.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.sound.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        let defect = self.defect;
        match defect {
            Defect::NoFeed => ChangeStream::none(),
            Defect::TellsNobody => ChangeStream::new(futures_util::stream::pending()),
            _ => ChangeStream::new(self.sound.changes().flat_map(move |change| {
                let times = match (&change, defect) {
                    (Change::Removed { .. }, Defect::SilentRemovals) => 0,
                    (Change::Saved { .. }, Defect::TellsTwice) => 2,
                    _ => 1,
                };
                futures_util::stream::iter(std::iter::repeat_n(change, times))
            })),
        }
    }
}

#[async_trait]
impl SessionAdmin for Broken {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        let mut page = self.sound.list(after, limit).await?;
        if self.is(Defect::OnePageOnly) {
            page.next = None;
        }
        Ok(page)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.sound.count().await? + u64::from(self.is(Defect::CountsOneMore)))
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        if self.is(Defect::RemovesNothing) {
            return self.sound.count().await;
        }
        self.sound.remove_all().await
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        match self.defect {
            Defect::ReplacesNothing => Ok(true),
            Defect::ReplacesAny => {
                let there = self.sound.load(session.user()).await?.is_some();
                self.sound.save(session).await?;
                Ok(there)
            }
            _ => self.sound.replace_if_current(session).await,
        }
    }
}
