//! What the log says of a person who could not be asked.

use moojo_otp::LoginWorker;
use moojo_testkit::Log;
use tokio::sync::watch;

use crate::common::{SEND, alice, not_sent, world};
use crate::{Silent, turns};

#[tokio::test]
async fn why_a_person_could_not_be_asked_is_logged_with_all_sources() {
    let world = world();
    let (log, _guard) = Log::of_thread();
    for _ in 0..3 {
        world.fake.then(not_sent());
    }
    let people = Silent(watch::Sender::new(0));
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    world.sessions.get(&alice()).await.unwrap_err();
    for _ in 0..3 {
        turns().await;
        world.pass(1);
    }
    turns().await;
    let warned = log.lines_with(&["WARN", "could not be asked", "connection refused"]);
    assert!(!warned.is_empty(), "{}", log.text());
}

#[tokio::test]
async fn that_a_code_was_asked_for_a_moment_ago_is_no_warning() {
    let world = world();
    world.send().await.unwrap();
    let session = world.verify("133575").await.unwrap();
    world.pass(1);
    world.sessions.reject(&session).await.unwrap();
    world.sessions.get(&alice()).await.unwrap_err();

    let (log, _guard) = Log::of_thread();
    let people = Silent(watch::Sender::new(0));
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    turns().await;
    assert_eq!(world.fake.count(SEND), 1);
    world.pass(31);
    turns().await;
    assert_eq!(world.fake.count(SEND), 2, "it was put aside until then");
    let log = log.text();
    assert!(log.contains("cannot be asked yet") && !log.contains("WARN"), "{log}");
}
