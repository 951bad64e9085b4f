//! A login that is sealed, met by a process that has no `SealedStore` in front.

mod common;

use common::{SEND, alice, world, world_with};
use moojo_otp::LoginError;
use moojo_session::{
    ChallengeStore, KeyRing, MemoryChallengeStore, MemoryStore, SealedStore, SealingKey,
    StoreErrorKind,
};
use moojo_testkit::Log;

fn sealed(backend: &MemoryChallengeStore) -> SealedStore<MemoryChallengeStore> {
    let keys = KeyRing::new(SealingKey::new("one", &[1; 32]).unwrap());
    SealedStore::new(backend.clone(), keys)
}

#[track_caller]
fn assert_corrupt<T: std::fmt::Debug>(outcome: Result<T, LoginError>) {
    match outcome.unwrap_err() {
        LoginError::Challenges(error) => assert_eq!(error.kind(), StoreErrorKind::Corrupt),
        other => panic!("{other:?}"),
    }
}

/// What it wrote over the record would open for nobody: the seal is bound to the revision.
#[tokio::test]
async fn rule_8_a_process_without_keys_neither_spoils_it_nor_sends_again() {
    let without = world();
    let with = world_with(MemoryStore::new(), |flow| flow.challenges(sealed(&without.challenges)));
    with.send().await.unwrap();
    assert_corrupt(without.verify("133575").await);
    without.pass(31);
    assert_corrupt(without.send().await);
    assert_corrupt(without.flow.pending(&alice()).await);
    assert_eq!(without.fake.count(SEND), 0);
    let kept = sealed(&without.challenges).load(&alice()).await.unwrap().unwrap();
    assert_eq!(kept.attempts(), 0);
    with.verify("133575").await.unwrap();
}

/// It keeps nobody from logging in longer than it could be opened.
#[tokio::test]
async fn one_that_has_lapsed_is_no_hindrance() {
    let without = world();
    let with = world_with(MemoryStore::new(), |flow| flow.challenges(sealed(&without.challenges)));
    with.send().await.unwrap();
    without.pass(3600);
    without.send().await.unwrap();
    without.verify("133575").await.unwrap();
}

/// Nobody but the caller would know it: the store itself has answered well.
#[tokio::test]
async fn it_is_warned_of() {
    let (log, _guard) = Log::of_thread();
    let without = world();
    let with = world_with(MemoryStore::new(), |flow| flow.challenges(sealed(&without.challenges)));
    with.send().await.unwrap();
    for _ in 0..3 {
        assert_corrupt(without.verify("133575").await);
    }
    let warned = log.lines_with(&["WARN", "a record that cannot be read", "it may be sealed"]);
    assert_eq!(warned.len(), 1, "{:?}", log.lines_with(&[]));
}
