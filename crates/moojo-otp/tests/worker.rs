//! What a worker does with its claims.

mod common;

use std::time::Duration;

use common::{SEND, alice, phone, world};
use moojo_otp::{Ask, LoginWorker, People, PersonReply, PhoneNumber};
use moojo_session::{UserId, async_trait};
use tokio::sync::watch;

/// Says nothing, and counts how often it was asked.
#[derive(Debug)]
struct Silent(watch::Sender<usize>);

#[async_trait]
impl People for Silent {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(phone()))
    }

    async fn code(&self, _: &Ask) -> PersonReply {
        self.0.send_modify(|asked| *asked += 1);
        std::future::pending().await
    }
}

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
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    call.await.unwrap().unwrap_err();
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (1, 1));
    assert!(world.sessions.reauth_queue().is_empty());
}
