//! Rule 12: how many codes are sent to a number, for a tenant, to somebody who does not answer, and
//! which numbers get any.

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::{
    Fake, NOW, SEND, Unwritten, World, alice, at, builder, cut, not_sent, phone, refused, shown,
    world, world_with,
};
use moojo_otp::{FirebaseJwt, InvalidPrefix, LoginError, LoginFlow, LoginFlowBuilder, PhoneNumber};
use moojo_session::{
    Admission, ChallengeStore, Clock, ManualClock, MemoryChallengeStore, MemoryStore, Quota,
    SessionManager, UserId,
};

const HOUR: Duration = Duration::from_secs(3600);

const NUMBER: &str = "sends:+15559876543";
const TENANT: &str = "tenant:acme";
const UNANSWERED: &str = "unanswered:alice";

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn number(n: usize) -> PhoneNumber {
    format!("+1555987654{n}").parse().unwrap()
}

fn minutes(minutes: i64) -> DateTime<Utc> {
    at(NOW) + TimeDelta::minutes(minutes)
}

/// A flow in which `a@acme` is a user of `acme`, and alice too.
fn tenants(sends: u32) -> World {
    world_with(MemoryStore::new(), |flow| acme(flow, sends))
}

fn acme(flow: LoginFlowBuilder, sends: u32) -> LoginFlowBuilder {
    flow.sends_per_tenant(sends, HOUR).tenant_of(|user| {
        user.as_str().split_once('@').map_or("acme", |(_, tenant)| tenant).to_owned()
    })
}

/// How often a key has been counted, as long as that is less than 10.
async fn counted(world: &World, key: &str) -> usize {
    let quota = Quota { key, limit: 10, window: HOUR };
    let mut left = 0;
    while world.challenges.admit(&quota, world.clock.now()).await.unwrap() == Admission::Granted {
        left += 1;
    }
    for _ in 0..left {
        world.challenges.give_back(&quota, world.clock.now()).await.unwrap();
    }
    10 - left
}

async fn all_counted(world: &World) -> [usize; 3] {
    [counted(world, NUMBER).await, counted(world, TENANT).await, counted(world, UNANSWERED).await]
}

#[tokio::test]
async fn a_number_gets_so_many_codes_an_hour_from_all_users_together() {
    let world = world();
    let ask = async |n| world.flow.send_code(&user(&format!("user{n}")), &phone()).await;
    for n in 0..5 {
        ask(n).await.unwrap();
        world.pass(60);
    }
    let error = ask(5).await.unwrap_err();
    assert!(matches!(error, LoginError::TooManySends { .. }));
    assert_eq!(error.retry_at(), Some(minutes(60)));
    assert_eq!(world.fake.count(SEND), 5);
    world.pass(55 * 60);
    ask(5).await.unwrap();
}

#[tokio::test]
async fn rule_12_a_tenant_gets_so_many_codes_from_all_its_users_together() {
    let world = tenants(3);
    let ask = async |name: &str, n| world.flow.send_code(&user(name), &number(n)).await;
    for (n, name) in ["a@acme", "b@acme", "c@acme"].into_iter().enumerate() {
        ask(name, n).await.unwrap();
        world.pass(60);
    }
    let error = ask("d@acme", 3).await.unwrap_err();
    assert!(matches!(error, LoginError::TooManyTenantSends { .. }), "{error:?}");
    assert_eq!(error.retry_at(), Some(minutes(60)));
    // Another tenant has its own.
    ask("a@other", 4).await.unwrap();
    assert_eq!(world.fake.count(SEND), 4);
    world.pass(57 * 60);
    ask("d@acme", 3).await.unwrap();
    assert!(matches!(ask("e@acme", 5).await, Err(LoginError::TooManyTenantSends { .. })));
}

#[tokio::test]
async fn rule_12_tenants_are_not_limited_unless_that_is_set() {
    let world = world();
    for n in 0..50 {
        let number = format!("+155598760{n:02}").parse().unwrap();
        world.flow.send_code(&user(&format!("user{n}")), &number).await.unwrap();
    }
    // Without tenants all users are one.
    let world = world_with(MemoryStore::new(), |flow| flow.sends_per_tenant(1, HOUR));
    world.flow.send_code(&user("a"), &number(1)).await.unwrap();
    let error = world.flow.send_code(&user("b"), &number(2)).await.unwrap_err();
    assert!(matches!(error, LoginError::TooManyTenantSends { .. }), "{error:?}");
}

#[tokio::test]
async fn sends_that_never_went_out_use_up_no_quota() {
    let world =
        world_with(MemoryStore::new(), |flow| flow.unanswered_sends(u32::MAX, Duration::MAX));
    for _ in 0..20 {
        world.fake.then(not_sent());
        let error = world.send().await.unwrap_err();
        assert!(matches!(error, LoginError::Moojo { .. }), "{error}");
    }
    for _ in 0..5 {
        world.send().await.unwrap();
        world.pass(30);
    }
    assert!(matches!(world.send().await, Err(LoginError::TooManySends { .. })));
}

#[tokio::test]
async fn rule_12_what_was_not_sent_is_not_counted() {
    let world = tenants(10);
    world.fake.then(not_sent());
    world.send().await.unwrap_err();
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    // What Moojo refuses counts for the number alone, so that it is not asked for it for ever.
    for outcome in [refused(400), refused(401), refused(429)] {
        world.fake.then(outcome);
        world.send().await.unwrap_err();
        world.pass(30);
    }
    assert_eq!(all_counted(&world).await, [3, 0, 0]);
    for outcome in [cut(), refused(500)] {
        world.fake.then(outcome);
        assert!(matches!(world.send().await, Err(LoginError::SendUnknown { .. })));
        world.pass(30);
    }
    assert_eq!(all_counted(&world).await, [5, 2, 2]);
}

#[tokio::test]
async fn rule_12_a_limit_that_refuses_leaves_the_others_as_they_were() {
    // The number's.
    let world = world_with(MemoryStore::new(), |flow| acme(flow.sends_per_number(0, HOUR), 10));
    assert!(matches!(world.send().await, Err(LoginError::TooManySends { .. })));
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    // The tenant's.
    let world = tenants(0);
    assert!(matches!(world.send().await, Err(LoginError::TooManyTenantSends { .. })));
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    // The user's.
    let world = world_with(MemoryStore::new(), |flow| acme(flow.unanswered_sends(0, HOUR), 10));
    assert!(matches!(world.send().await, Err(LoginError::NotAnswering { .. })));
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    // The cooldown, which is looked at first: who is too quick is told so.
    let world = world_with(MemoryStore::new(), |flow| acme(flow.sends_per_number(1, HOUR), 10));
    world.send().await.unwrap();
    assert!(matches!(world.send().await, Err(LoginError::ResendTooSoon { .. })));
    assert_eq!(all_counted(&world).await, [1, 1, 1]);
}

#[tokio::test]
async fn rule_12_a_send_that_could_not_be_recorded_is_not_counted() {
    let store = MemoryChallengeStore::new();
    // Others are always faster.
    let busy = Unwritten { memory: store.clone(), swap: Ok(false) };
    let world = world_with(MemoryStore::new(), |flow| acme(flow, 10).challenges(busy));
    let world = World { challenges: store, ..world };
    assert!(matches!(world.send().await, Err(LoginError::Contended)));
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    assert_eq!(world.fake.requests().len(), 0);
}

#[tokio::test]
async fn rule_12_who_does_not_answer_is_left_alone() {
    let world = world();
    let ask = async |n| world.flow.send_code(&alice(), &number(n)).await;
    // Whatever the number, and whether the answer came or not.
    for (n, outcome) in [None, Some(cut()), None].into_iter().enumerate() {
        if let Some(outcome) = outcome {
            world.fake.then(outcome);
        }
        let _ = ask(n).await;
        world.pass(60);
    }
    // A wrong code is no answer.
    world.fake.then(refused(400));
    assert!(matches!(world.verify("000000").await, Err(LoginError::WrongCode { .. })));
    // Nor is a login in another way: it says nothing of the phone.
    let jwt = FirebaseJwt::new("jwt").unwrap();
    world.flow.login_with_jwt(&alice(), &jwt).await.unwrap();
    let error = ask(3).await.unwrap_err();
    assert!(matches!(error, LoginError::NotAnswering { .. }), "{error:?}");
    assert_eq!(error.retry_at(), Some(minutes(60)));
    assert_eq!(world.fake.count(SEND), 3);
    // Others are not concerned.
    world.flow.send_code(&user("bob"), &number(3)).await.unwrap();
    // The window lets another through, and one only.
    world.pass(57 * 60);
    ask(3).await.unwrap();
    world.pass(30);
    assert_eq!(ask(4).await.unwrap_err().retry_at(), Some(minutes(61)));
}

#[tokio::test]
async fn rule_12_a_login_ends_the_row_in_all_processes() {
    let world = world_with(MemoryStore::new(), |flow| flow.sends_per_number(100, HOUR));
    // Another process on the store.
    let fake = Fake::new();
    let moojo = builder(&fake, &world.clock).build().unwrap();
    let other = LoginFlow::builder(moojo, world.sessions.clone());
    let other = other.challenges(world.challenges.clone()).sends_per_number(100, HOUR).build();
    for _ in 0..4 {
        world.send().await.unwrap();
        world.pass(30);
        other.send_code(&alice(), &phone()).await.unwrap();
        world.pass(30);
        world.send().await.unwrap();
        world.pass(30);
        let error = other.send_code(&alice(), &phone()).await.unwrap_err();
        assert!(matches!(error, LoginError::NotAnswering { .. }), "{error:?}");
        other.verify(&alice(), &"133575".parse().unwrap()).await.unwrap();
    }
    assert_eq!(counted(&world, UNANSWERED).await, 0);
}

#[tokio::test]
async fn rule_8_processes_whose_clocks_differ_a_little_send_one_code() {
    for apart in [-20, -1, 0, 1, 20] {
        let world = world();
        // Another process on the store.
        let fake = Fake::new();
        let clock = ManualClock::new(at(NOW) + TimeDelta::seconds(apart));
        let moojo = builder(&fake, &clock).build().unwrap();
        let sessions = SessionManager::builder(MemoryStore::new()).clock(clock).build();
        let other = LoginFlow::builder(moojo, sessions).challenges(world.challenges.clone());
        let other = other.build();
        // A person who clicks twice, or calls that wait in both.
        world.send().await.unwrap();
        let error = other.send_code(&alice(), &phone()).await.unwrap_err();
        assert!(matches!(error, LoginError::ResendTooSoon { .. }), "{error:?}");
        assert_eq!((world.fake.count(SEND), fake.count(SEND)), (1, 0), "{apart} s");
        assert!(other.pending(&alice()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn rule_8_a_clock_that_was_set_back_keeps_nobody_from_a_login() {
    let world = world();
    world.send().await.unwrap();
    world.clock.jump_wall(TimeDelta::hours(-1));
    world.send().await.unwrap();
    assert_eq!(world.fake.count(SEND), 2);
    // By less than a cooldown: it takes as much longer.
    world.clock.jump_wall(TimeDelta::seconds(-30));
    assert!(matches!(world.send().await, Err(LoginError::ResendTooSoon { .. })));
    world.pass(60);
    world.send().await.unwrap();
}

#[tokio::test]
async fn rule_12_what_was_sent_before_the_clock_was_set_back_is_not_counted_for_ever() {
    let world = world_with(MemoryStore::new(), |flow| flow.sends_per_number(1, HOUR));
    world.clock.jump_wall(TimeDelta::days(1));
    world.send().await.unwrap();
    world.clock.jump_wall(TimeDelta::days(-1));
    world.send().await.unwrap();
    // By less than a window, it is counted for as much longer.
    world.clock.jump_wall(TimeDelta::minutes(-59));
    assert_eq!(world.send().await.unwrap_err().retry_at(), Some(minutes(60)));
}

#[tokio::test]
async fn rule_12_the_limit_of_those_who_do_not_answer_can_be_set() {
    for (limit, sends) in [(1, 1), (2, 2), (100, 100), (101, 120), (u32::MAX, 120)] {
        let world = world_with(MemoryStore::new(), |flow| {
            let flow = flow.sends_per_number(u32::MAX, HOUR).resend_cooldown(Duration::ZERO);
            flow.unanswered_sends(limit, HOUR)
        });
        for _ in 0..120 {
            let _ = world.send().await;
        }
        assert_eq!(world.fake.count(SEND), sends, "{limit}");
        world.verify("133575").await.unwrap();
        world.send().await.unwrap();
    }
}

#[tokio::test]
async fn rule_12_only_numbers_with_the_right_prefixes_get_codes() {
    let world = world_with(MemoryStore::new(), |flow| {
        let flow = acme(flow, 10).allow_prefixes(["1", "49"]).unwrap();
        flow.deny_prefixes(["1900"]).unwrap()
    });
    for (number, prefix) in [("+19005559876", "+1900"), ("+447700900123", "+44")] {
        let error = world.flow.send_code(&alice(), &number.parse().unwrap()).await.unwrap_err();
        let LoginError::NumberNotAllowed { prefix: named } = &error else { panic!("{error:?}") };
        assert_eq!(named, prefix);
        assert_eq!(error.retry_at(), None);
    }
    assert_eq!(world.record().await, None);
    assert_eq!(all_counted(&world).await, [0, 0, 0]);
    assert_eq!(world.fake.requests().len(), 0);
    world.send().await.unwrap();
    world.flow.send_code(&user("bob"), &"+4930123456".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn rule_12_a_bad_prefix_is_refused_when_it_is_set() {
    world_with(MemoryStore::new(), |flow| {
        let illegal = flow.clone().allow_prefixes(["1", "4 9"]).unwrap_err();
        assert_eq!(illegal, InvalidPrefix::IllegalCharacter);
        assert_eq!(flow.clone().deny_prefixes([""]).unwrap_err(), InvalidPrefix::Empty);
        flow
    });
}

#[tokio::test]
async fn rule_13_no_refusal_shows_the_number() {
    type Set = fn(LoginFlowBuilder) -> LoginFlowBuilder;
    let cases: [Set; 6] = [
        |flow| flow.sends_per_number(0, HOUR),
        |flow| flow.sends_per_tenant(0, HOUR).tenant_of(|_| "+15559876543".into()),
        |flow| flow.unanswered_sends(0, HOUR),
        |flow| flow.deny_prefixes(["15559876543"]).unwrap(),
        |flow| flow.deny_prefixes(["1555987"]).unwrap(),
        |flow| flow.allow_prefixes(["49"]).unwrap(),
    ];
    for set in cases {
        let mut debug = String::new();
        let world = world_with(MemoryStore::new(), |flow| {
            let flow = set(flow);
            debug = format!("{flow:?}");
            flow
        });
        let error = world.send().await.unwrap_err();
        for text in [shown(&error), debug, format!("{:?}", world.flow)] {
            assert!(!text.contains("9876543") && !text.contains("6543"), "{text}");
        }
    }
}
