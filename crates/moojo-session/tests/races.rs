//! Orders of events that are easily got wrong: loads, logins, refusals, feeds, clocks and runtimes
//! that come and go at the wrong moment.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use common::{TestStore, fresh, setup, start, turns, user};
use futures_util::{FutureExt, StreamExt};
use http::{Request, Response, StatusCode};
use moojo_session::{
    Change, ChangeStream, Clock, Error, Event, ManualClock, MemoryStore, OnReauth, Session,
    SessionId, SessionLayer, SessionManager, SessionStore, StoreError, UserId, async_trait,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};

/// Delegates to a memory store; load and save answer only with a permit, after having read/written.
#[derive(Debug, Clone)]
struct Gated {
    memory: MemoryStore,
    loads: Arc<Semaphore>,
    saves: Arc<Semaphore>,
    removals: Arc<Semaphore>,
    feed: Arc<Mutex<Option<tokio::sync::mpsc::UnboundedReceiver<Change>>>>,
}
impl Gated {
    fn new(memory: MemoryStore) -> Self {
        let open = || Arc::new(Semaphore::new(1_000_000));
        Self { memory, loads: open(), saves: open(), removals: open(), feed: Default::default() }
    }
}
#[async_trait]
impl SessionStore for Gated {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let found = self.memory.load(user).await;
        self.loads.acquire().await.unwrap().forget();
        found
    }
    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.saves.acquire().await.unwrap().forget();
        self.memory.save(session).await
    }
    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.removals.acquire().await.unwrap().forget();
        self.memory.remove(user).await
    }
    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.removals.acquire().await.unwrap().forget();
        self.memory.remove_if_current(user, id).await
    }
    fn changes(&self) -> ChangeStream {
        match self.feed.lock().take() {
            Some(mut rx) => {
                ChangeStream::new(futures_util::stream::poll_fn(move |cx| rx.poll_recv(cx)))
            }
            None => ChangeStream::none(),
        }
    }
}

fn finishes(within: Duration, job: impl FnOnce() + Send + 'static) -> bool {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _d = done;
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    });
    !matches!(wait.recv_timeout(within), Err(std::sync::mpsc::RecvTimeoutError::Timeout))
}

#[test]
fn rule_10_outside_of_a_runtime_a_load_panics_and_locks_nobody_out() {
    let (sessions, _store, _clock) = setup(); // no feed
    // The feed is decided on a runtime ("Never").
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let _ = sessions.get(&user("bob")).await;
    });
    let ended = finishes(Duration::from_secs(5), move || {
        let alice = user("alice");
        let _ = sessions.get(&alice).now_or_never();
    });
    assert!(ended, "deadlock: LoadTask::drop locks the slot that live_or_load holds");
}

#[tokio::test]
async fn a_login_during_a_load_is_no_signal_and_the_next_loss_is_told() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    store.loads.forget_permits(1_000_000);
    store.saves.forget_permits(1_000_000);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let mut events = sessions.events();
    let alice = user("alice");
    let caller = tokio::spawn({
        let (s, a) = (sessions.clone(), alice.clone());
        async move { s.get(&a).await }
    });
    turns().await;
    let login = fresh(&alice, "one", &clock);
    let insert = tokio::spawn({
        let (s, l) = (sessions.clone(), login.clone());
        async move { s.insert(l).await }
    });
    turns().await;
    store.loads.add_permits(1); // load: "nothing" ...
    store.saves.add_permits(1); // ... then the login is saved, then the caller wakes
    insert.await.unwrap().unwrap();
    let got = caller.await.unwrap();
    assert!(sessions.get(&alice).await.is_ok(), "alice is logged in");
    store.loads.add_permits(1000);
    clock.advance(Duration::from_secs(7200));
    assert!(sessions.get(&alice).await.is_err());
    let mut seen = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        seen.push(match event {
            Event::Saved { .. } => "saved",
            Event::ReauthRequired(_) => "reauth",
            Event::Expired { .. } => "expired",
            _ => "other",
        });
    }
    assert_eq!(seen.last(), Some(&"reauth"), "the event of the real end is lost: {seen:?}");
    assert!(got.is_ok());
}

#[tokio::test]
async fn rule_4_a_margin_of_one_process_ends_no_session_of_others() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let careful = SessionManager::builder(store.clone())
        .clock(clock.clone())
        .expiry_margin(Duration::from_secs(600))
        .build();
    let normal = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    careful.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.advance(Duration::from_secs(7200 - 300));
    assert!(normal.get(&alice).await.is_ok());
    assert!(careful.get(&alice).await.is_err());
    turns().await;
    assert!(
        normal.get(&alice).await.is_ok(),
        "the token has 5 minutes; another process's margin removed it"
    );
}

#[tokio::test]
async fn rule_4_a_clock_of_one_process_ends_no_session_of_others() {
    let right = ManualClock::new(start());
    let wrong = ManualClock::new(start());
    let store = MemoryStore::builder().clock(right.clone()).build();
    let here = SessionManager::builder(store.clone()).clock(wrong.clone()).build();
    let there = SessionManager::builder(store.clone()).clock(right.clone()).build();
    let alice = user("alice");
    here.insert(fresh(&alice, "one", &right)).await.unwrap();
    wrong.jump_wall(TimeDelta::hours(3));
    assert!(here.get(&alice).await.is_err());
    wrong.jump_wall(TimeDelta::hours(-3));
    assert!(there.get(&alice).await.is_ok(), "there, the clock was right all along");
}

#[tokio::test]
async fn rule_4_a_reload_gives_a_session_no_more_time() {
    let (sessions, store, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    clock.jump_wall(TimeDelta::hours(-5));
    // A revocation that the store does not take: the slot is in doubt, the session is read again.
    store.fail(true);
    sessions.revoke(&alice).await.unwrap_err();
    store.fail(false);
    assert!(sessions.get(&alice).await.is_ok());
    clock.advance(Duration::from_secs(7200));
    assert!(sessions.get(&alice).await.is_err(), "two hours have passed since it was received");
}

#[tokio::test]
async fn rule_12_handles_that_are_gone_leave_no_slots() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(TestStore::new(&clock)).clock(clock.clone()).max_users(100).build();
    for n in 0..20_000 {
        drop(sessions.handle(&user(&format!("u{n}"))));
    }
    assert!(sessions.users() <= 200, "{} slots, none in use", sessions.users());
}

#[tokio::test]
async fn a_removal_that_stands_for_an_earlier_change_is_heard() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
    *store.feed.lock() = Some(rx);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let one = fresh(&alice, "one", &clock);
    store.memory.save(&one).await.unwrap();
    assert_eq!(sessions.get(&alice).await.unwrap(), one);
    // Another process: a new login, and then it is revoked.
    let two = fresh(&alice, "two", &clock);
    store.memory.save(&two).await.unwrap();
    store.memory.remove(&alice).await.unwrap();
    tx.send(Change::Removed { user: alice.clone() }).unwrap();
    turns().await;
    assert!(
        sessions.get(&alice).await.is_err(),
        "`one` is used for ever though the store has nothing"
    );
}

#[test]
fn rule_10_followers_survive_the_runtime_of_their_leader() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    store.loads.forget_permits(1_000_000);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    store.memory.save(&fresh(&alice, "one", &clock)).now_or_never().unwrap().unwrap();
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let a = rt();
    a.block_on(async {
        let _ = tokio::time::timeout(Duration::from_millis(50), sessions.get(&alice)).await;
    });
    let b = rt();
    let got = b.block_on(async {
        let follower = tokio::spawn({
            let (s, u) = (sessions.clone(), alice.clone());
            async move { s.get(&u).await }
        });
        turns().await;
        std::thread::spawn(move || drop(a)).join().unwrap();
        store.loads.add_permits(100);
        follower.await.unwrap()
    });
    assert!(got.is_ok(), "{got:?}");
}

#[test]
fn rule_10_followers_do_not_wait_for_a_runtime_that_stands_still() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    store.loads.forget_permits(1_000_000);
    let sessions = SessionManager::builder(store.clone())
        .clock(clock.clone())
        .store_timeout(Duration::from_millis(200))
        .build();
    let alice = user("alice");
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let a = rt();
    a.block_on(async {
        let _ = tokio::time::timeout(Duration::from_millis(50), sessions.get(&alice)).await;
    });
    let got = rt().block_on(async {
        store.loads.add_permits(100);
        tokio::time::timeout(
            Duration::from_secs(5),
            sessions.wait(&alice, Duration::from_millis(100)),
        )
        .await
    });
    assert!(got.is_ok(), "store timeout 0.2 s, deadline 0.1 s: still waiting after 5 s");
}

#[test]
fn rule_11_a_load_that_was_given_up_tells_nothing_when_it_comes_to_life_again() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    store.loads.forget_permits(1_000_000);
    let sessions = SessionManager::builder(store.clone())
        .clock(clock.clone())
        .store_timeout(Duration::from_millis(50))
        .build();
    let alice = user("alice");
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stalling, going_on) = (rt(), rt());
    stalling.block_on(async {
        store.memory.save(&fresh(&alice, "old", &clock)).await.unwrap();
        // Reads the old session, and is on its way back with it when the runtime stands still.
        assert!(sessions.get(&alice).now_or_never().is_none());
        turns().await;
    });
    let new = fresh(&alice, "new", &clock);
    going_on.block_on(async {
        let given_up = sessions.get(&alice).await;
        assert!(matches!(given_up, Err(Error::Store(_))), "{given_up:?}");
        sessions.insert(new.clone()).await.unwrap();
    });
    store.loads.add_permits(1);
    stalling.block_on(turns());
    let found = going_on.block_on(sessions.get(&alice)).unwrap();
    assert_eq!(found, new);
}

#[test]
fn users_in_memory_notice_that_nobody_listens_to_the_feed() {
    let clock = ManualClock::new(start());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let manager = || SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let (here, there) = (manager(), manager());
    let alice = user("alice");
    let rt = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt().block_on(async {
        here.insert(fresh(&alice, "one", &clock)).await.unwrap();
        there.get(&alice).await.unwrap();
    });
    rt().block_on(async {
        here.revoke(&alice).await.unwrap();
        turns().await;
        let _ = there.get(&alice).await;
        turns().await;
        assert!(there.get(&alice).await.is_err(), "revoked, and still given out");
    });
}

fn once_refusing() -> (
    Arc<AtomicUsize>,
    tower::util::BoxCloneService<Request<String>, Response<String>, std::io::Error>,
) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    (
        calls,
        tower::util::BoxCloneService::new(service_fn(move |r: Request<String>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let old = r.headers()["authorization"] == "Bearer old";
            let status = if old { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            std::future::ready(Ok(Response::builder().status(status).body(String::new()).unwrap()))
        })),
    )
}
fn request(alice: &UserId) -> Request<String> {
    Request::post("https://api.moojo.id/x").extension(alice.clone()).body(String::new()).unwrap()
}

#[tokio::test]
async fn a_repeat_takes_no_waiters_place() {
    let clock = ManualClock::new(start());
    let store = TestStore::new(&clock);
    let sessions =
        SessionManager::builder(store.clone()).clock(clock.clone()).max_waiters(0).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap();
    store.memory().save(&fresh(&alice, "new", &clock)).await.unwrap();
    let (_, server) = once_refusing();
    let client = SessionLayer::new(sessions)
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .repeat_bodies::<String>()
        .layer(server);
    let got = client.oneshot(request(&alice)).await;
    assert!(got.is_ok(), "{got:?}");
}

#[tokio::test]
async fn rule_11_a_gap_in_the_feed_wakes_who_waits() {
    let clock = ManualClock::new(start());
    let store = Gated::new(MemoryStore::builder().clock(clock.clone()).build());
    let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
    *store.feed.lock() = Some(rx);
    let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
    let alice = user("alice");
    let waiter = tokio::spawn({
        let (s, a) = (sessions.clone(), alice.clone());
        async move { s.wait(&a, Duration::from_secs(300)).await }
    });
    turns().await;
    store.memory.save(&fresh(&alice, "one", &clock)).await.unwrap();
    tx.send(Change::Lagged).unwrap();
    let got = tokio::time::timeout(Duration::from_secs(2), waiter).await;
    assert!(got.is_ok(), "sleeps on until its deadline in 300 s");
}

#[tokio::test]
async fn rule_10_all_waiting_of_a_call_has_one_deadline() {
    let (sessions, _store, clock) = setup();
    let alice = user("alice");
    let (_, server) = once_refusing();
    let client = SessionLayer::new(sessions.clone())
        .allow_origin("https://api.moojo.id")
        .unwrap()
        .repeat_bodies::<String>()
        .on_reauth(OnReauth::Wait(Duration::from_secs(100)))
        .layer(server);
    let began = clock.monotonic();
    let call = tokio::spawn(client.oneshot(request(&alice)));
    turns().await;
    clock.advance(Duration::from_secs(99));
    sessions.insert(fresh(&alice, "old", &clock)).await.unwrap(); // will be refused
    turns().await;
    clock.advance(Duration::from_secs(50));
    turns().await;
    assert!(call.is_finished(), "waits still after {:?} of 100 s", clock.monotonic() - began);
}

#[test]
fn rule_5_a_realm_that_mentions_bearer_refuses_no_token() {
    let mut headers = http::HeaderMap::new();
    headers.insert("www-authenticate", "Basic realm=\"the bearer gateway\"".parse().unwrap());
    assert!(moojo_session::refused_token(StatusCode::UNAUTHORIZED, &headers).is_none());
}

#[tokio::test]
async fn who_need_not_wait_takes_no_waiters_place() {
    let clock = ManualClock::new(start());
    let sessions =
        SessionManager::builder(TestStore::new(&clock)).clock(clock.clone()).max_waiters(0).build();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let got = sessions.wait(&alice, Duration::from_secs(1)).await;
    assert!(got.is_ok(), "{got:?}");
}

#[allow(unused)]
fn unused(_: Error, _: Instant) -> impl StreamExt {
    futures_util::stream::empty::<()>()
}
