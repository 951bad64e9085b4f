//! Wrong codes, and other ones.

use std::time::Duration;

use moojo_otp::{Ask, LoginFlowBuilder, LoginWorker, PersonReply};
use moojo_session::MemoryStore;
use tokio::sync::watch;

use crate::common::{AUTHENTICATE, SEND, alice, refused, sent, world, world_with};
use crate::{Says, call, code, turns};

#[tokio::test]
async fn who_types_codes_when_none_may_be_tried_keeps_nobody_busy() {
    let world = world();
    let asked = watch::Sender::new(0);
    world.fake.then(sent());
    for _ in 0..5 {
        world.fake.then(refused(400));
    }
    let people = Says(|_, _| code("000000"), asked.clone());
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    world.sessions.get(&alice()).await.unwrap_err();
    turns().await;
    assert_eq!(*asked.borrow(), 6, "five tries, and once more that there are none left");
    // Asked again after a pause, as long as the code lives: "another one" can still be said.
    world.pass(1);
    turns().await;
    assert_eq!(*asked.borrow(), 7);
    assert_eq!((world.fake.count(SEND), world.fake.count(AUTHENTICATE)), (1, 5));
}

#[tokio::test]
async fn who_wants_another_code_too_soon_keeps_nobody_busy() {
    let world = world();
    let asked = watch::Sender::new(0);
    world.fake.then(sent()).then(refused(400));
    let people = Says(
        |asked, ask| match asked {
            1 => code("000000"),
            _ => {
                assert_eq!(ask.attempts_left(), Some(4), "no other code was sent");
                PersonReply::Resend
            }
        },
        asked.clone(),
    );
    let worker = tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    world.sessions.get(&alice()).await.unwrap_err();
    turns().await;
    assert_eq!(*asked.borrow(), 2, "a wrong code, and another one");
    world.pass(1);
    turns().await;
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (3, 1));
    assert!(!worker.is_finished());
}

#[tokio::test]
async fn who_may_have_no_other_code_can_still_type_the_last_one() {
    let no_cooldown = |flow: LoginFlowBuilder| flow.resend_cooldown(Duration::ZERO);
    let world = world_with(MemoryStore::new(), no_cooldown);
    let asked = watch::Sender::new(0);
    // Three codes may be sent. The fourth is refused, and the person has got the third.
    let say = |asked, _: &Ask| if asked < 4 { PersonReply::Resend } else { code("133575") };
    tokio::spawn(LoginWorker::new(world.flow.clone(), Says(say, asked.clone())).run());
    let call = call(&world);
    for _ in 0..3 {
        turns().await;
        world.pass(1);
    }
    assert!(call.await.unwrap().is_ok(), "the person was there");
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (4, 3));
}
