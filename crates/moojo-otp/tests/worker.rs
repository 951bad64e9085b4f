//! What a worker does with its claims.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;
use common::{
    AUTHENTICATE, Failing, SEND, World, alice, not_sent, phone, refused, sent, world, world_with,
};
use moojo_otp::{
    Ask, LoginFlowBuilder, LoginWorker, People, PersonReply, PhoneNumber, VerificationCode,
};
use moojo_session::{AccessToken, Clock, Error, MemoryStore, Session, UserId, async_trait};
use moojo_testkit::Log;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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

/// Says at once what it is told to, given how often it was asked.
#[derive(Debug)]
struct Says(fn(usize, &Ask) -> PersonReply, watch::Sender<usize>);

#[async_trait]
impl People for Says {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(phone()))
    }

    async fn code(&self, ask: &Ask) -> PersonReply {
        self.1.send_modify(|asked| *asked += 1);
        let asked = *self.1.borrow();
        (self.0)(asked, ask)
    }
}

fn code(digits: &str) -> PersonReply {
    PersonReply::Code(VerificationCode::new(digits).unwrap())
}

async fn turns() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// A call that waits for an hour.
fn call(world: &World) -> JoinHandle<Result<Session, Error>> {
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.wait(&alice(), Duration::from_secs(3600)).await })
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

#[tokio::test]
async fn people_that_panic_are_asked_again_after_a_pause() {
    let world = world();
    let asked = watch::Sender::new(0);
    let say = |asked, _: &Ask| if asked < 3 { panic!("on purpose") } else { code("133575") };
    tokio::spawn(LoginWorker::new(world.flow.clone(), Says(say, asked.clone())).run());
    let call = call(&world);
    turns().await;
    assert_eq!(*asked.borrow(), 1, "a prompt for each turn of the worker");
    assert!(!call.is_finished());
    world.pass(30);
    turns().await;
    assert_eq!(*asked.borrow(), 2);
    world.pass(30);
    assert!(call.await.unwrap().is_ok());
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (3, 1));
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

#[tokio::test]
async fn who_could_not_be_asked_is_asked_later_though_no_call_waits() {
    let world = world();
    let asked = watch::Sender::new(0);
    world.fake.then(not_sent());
    let people = Says(|_, _| code("133575"), asked.clone());
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    world.sessions.get(&alice()).await.unwrap_err();
    turns().await;
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (0, 1), "Moojo was out of reach");
    world.pass(30);
    turns().await;
    assert_eq!((*asked.borrow(), world.fake.count(SEND)), (1, 2));
    assert!(world.sessions.get(&alice()).await.is_ok());
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

#[tokio::test]
async fn a_login_that_waits_to_be_saved_displaces_no_newer_one() {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    let asked = watch::Sender::new(0);
    store.saves.store(4, Ordering::SeqCst);
    let people = Says(|_, _| code("133575"), asked.clone());
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    let call = call(&world);
    for _ in 0..20 {
        turns().await;
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!((store.saves.load(Ordering::SeqCst), world.fake.count(AUTHENTICATE)), (0, 1));
    assert!(!call.is_finished(), "the worker keeps it, and tries again");
    // The person logs in somewhere else meanwhile.
    let ends = world.clock.now() + TimeDelta::hours(2);
    let newer = Session::builder(alice(), AccessToken::new("newer").unwrap()).expires_at(ends);
    let newer = newer.build().unwrap();
    world.sessions.insert(newer.clone()).await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), newer);
    for _ in 0..4 {
        turns().await;
        world.pass(10);
    }
    assert_eq!(world.sessions.get(&alice()).await.unwrap(), newer);
}

#[tokio::test]
async fn a_login_that_waits_to_be_saved_undoes_no_revocation() {
    let store = Arc::new(Failing::default());
    let world = world_with(Arc::clone(&store), |flow| flow);
    store.saves.store(4, Ordering::SeqCst);
    let people = Says(|_, _| code("133575"), watch::Sender::new(0));
    tokio::spawn(LoginWorker::new(world.flow.clone(), people).run());
    let call = call(&world);
    for _ in 0..20 {
        turns().await;
        world.clock.advance(Duration::from_millis(100));
    }
    assert_eq!(store.saves.load(Ordering::SeqCst), 0);
    world.sessions.revoke(&alice()).await.unwrap();
    turns().await;
    world.pass(30);
    turns().await;
    assert!(!call.is_finished(), "the person is to be asked anew");
    assert!(world.sessions.get(&alice()).await.is_err());
}

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
