//! What becomes of a claim while the person is asked, and when its worker goes.

use std::sync::Arc;
use std::time::Duration;

use moojo_otp::{Ask, LoginWorker, People, PersonReply, PhoneNumber};
use moojo_session::{UserId, async_trait};
use tokio::sync::watch;

use crate::common::{AUTHENTICATE, SEND, alice, not_sent, world};
use crate::{Says, Silent, call, code, turns};

#[tokio::test]
async fn rule_7_the_lease_of_a_worker_holds_from_the_start() {
    let world = world();
    let asked = watch::Sender::new(0);
    let worker = LoginWorker::new(world.flow.clone(), Silent(asked.clone()));
    tokio::spawn(worker.lease(Duration::from_secs(600)).run());
    world.sessions.get(&alice()).await.unwrap_err();
    asked.subscribe().wait_for(|asked| *asked == 1).await.unwrap();

    // The manager's own lease is 60 seconds, and the worker renews its claim after 300.
    world.pass(61);
    let another = world.sessions.reauth_queue().claim(&alice()).await;
    assert!(another.is_none(), "a second worker would ask the person again");
}

#[tokio::test]
async fn rule_8_who_did_not_answer_is_not_asked_again_when_no_call_waits_any_more() {
    let world = world();
    let asked = watch::Sender::new(0);
    tokio::spawn(LoginWorker::new(world.flow.clone(), Silent(asked.clone())).run());
    let call = tokio::spawn({
        let sessions = world.sessions.clone();
        async move { sessions.wait(&alice(), Duration::from_secs(700)).await }
    });
    asked.subscribe().wait_for(|asked| *asked == 1).await.unwrap();
    // The code lapses after ten minutes, the call gives up after twelve.
    for _ in 0..120 {
        world.pass(10);
        turns().await;
    }
    call.await.unwrap().unwrap_err();
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (1, 1));
    assert!(world.sessions.reauth_queue().is_empty());
}

#[tokio::test]
async fn rule_7_a_claim_holds_while_a_code_is_being_sent_or_tried() {
    let world = world();
    let asked = watch::Sender::new(0);
    world.fake.hold();
    let people = Says(|_, _| code("133575"), asked.clone());
    let worker = LoginWorker::new(world.flow.clone(), people).lease(Duration::from_secs(4));
    tokio::spawn(worker.run());
    let call = call(&world);
    for requests in 1..=2 {
        world.fake.wait_for(requests).await;
        // Moojo has ten seconds for a call.
        for _ in 0..8 {
            world.pass(1);
            turns().await;
        }
        let request = world.sessions.reauth_queue().list(None, 1).remove(0);
        assert_eq!(request.handed_out(), 1, "a second worker would ask the person again");
        world.fake.release();
        world.fake.hold();
    }
    world.fake.release();
    assert!(call.await.unwrap().is_ok());
    assert_eq!(*asked.borrow(), 1);
}

/// Never finds the number of anybody, and knows how many are being looked for.
#[derive(Debug)]
struct Hangs(Arc<()>);

#[async_trait]
impl People for Hangs {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        let _looking = Arc::clone(&self.0);
        std::future::pending().await
    }

    async fn code(&self, _: &Ask) -> PersonReply {
        PersonReply::NoAnswer
    }
}

#[tokio::test]
async fn rule_12_people_that_hang_do_not_pile_up() {
    let world = world();
    let looking = Arc::new(());
    let worker = LoginWorker::new(world.flow.clone(), Hangs(Arc::clone(&looking)));
    let worker = tokio::spawn(worker.run());
    let call = call(&world);
    for _ in 0..5 {
        turns().await;
        world.pass(60);
    }
    turns().await;
    let request = world.sessions.reauth_queue().list(None, 1).remove(0);
    assert_eq!(request.handed_out(), 6, "each time that the lease was over");
    assert_eq!(Arc::strong_count(&looking), 3, "this one, the worker's, and one that looks");
    worker.abort();
    call.abort();
}

#[tokio::test]
async fn rule_10_workers_that_go_away_at_any_moment_send_one_code_and_lose_nothing() {
    let world = world();
    let asked = watch::Sender::new(0);
    let call = call(&world);
    turns().await;
    let queue = world.sessions.reauth_queue();
    for polls in 0..60 {
        let people = Says(|_, _| code("000000"), asked.clone());
        let mut worker = Box::pin(LoginWorker::new(world.flow.clone(), people).run());
        world.fake.hold();
        for _ in 0..polls {
            assert!(poll_once(&mut worker).await.is_none());
            tokio::task::yield_now().await;
            if polls % 3 == 0 {
                world.fake.release();
                world.fake.hold();
            }
        }
        drop(worker);
        turns().await;
        world.fake.release();
        turns().await;
        if world.fake.count(AUTHENTICATE) > 0 {
            break; // Moojo has taken the code.
        }
        let request = queue.list(None, 1).remove(0);
        assert_eq!((request.waiting(), queue.len()), (1, 1));
        assert!(queue.claim(&alice()).await.is_some(), "its claim went with it");
    }
    assert!(call.await.unwrap().is_ok());
    assert_eq!((world.fake.count(SEND), world.fake.count(AUTHENTICATE)), (1, 1));
    assert!(queue.is_empty());
}

async fn poll_once<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn settings_of_no_time_at_all_keep_nobody_busy() {
    type Set = fn(LoginWorker) -> LoginWorker;
    let cases: [Set; 3] = [
        |worker| worker.pause(Duration::ZERO),
        |worker| worker.ask_again_after(Duration::ZERO),
        |worker| worker.lease(Duration::ZERO),
    ];
    for (case, set) in cases.into_iter().enumerate() {
        let world = world();
        let asked = watch::Sender::new(0);
        for _ in 0..if case == 0 { 100 } else { 0 } {
            world.fake.then(not_sent());
        }
        let people = Says(|_, _| PersonReply::NoAnswer, asked.clone());
        let worker = tokio::spawn(set(LoginWorker::new(world.flow.clone(), people)).run());
        let call = call(&world);
        turns().await;
        let handed_out = world.sessions.reauth_queue().list(None, 1)[0].handed_out();
        assert!(handed_out <= 1, "{case}: handed out {handed_out} times");
        worker.abort();
        call.abort();
    }
}
