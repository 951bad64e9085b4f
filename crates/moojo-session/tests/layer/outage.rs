//! The layer while the store is away and the feed hears nothing: what is in memory is used, also by calls
//! that would wait for a person.

use http::{Request, Response, StatusCode};
use moojo_session::{Change, Error, ManualClock, OnReauth, SessionManager, SessionService};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_test::mock::{self, Handle, Mock};

use crate::common::queue::{MINUTE, soon};
use crate::common::{TestStore, fresh, start, turns, user};
use crate::{layer, request};

type Client = SessionService<Mock<Request<String>, Response<String>>>;
type Server = Handle<Request<String>, Response<String>>;
type Call = JoinHandle<Result<Response<String>, Error<BoxError>>>;

struct World {
    sessions: SessionManager,
    store: TestStore,
    clock: ManualClock,
    tell: UnboundedSender<Change>,
    client: Client,
    server: Server,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new(start());
        let store = TestStore::new(&clock);
        let tell = store.told();
        let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
        let (mock, server) = mock::pair();
        let client = layer(&sessions).on_reauth(OnReauth::Wait(5 * MINUTE)).layer(mock);
        Self { sessions, store, clock, tell, client, server }
    }

    /// The store is away, and the feed with it.
    async fn outage(&self) {
        self.store.fail(true);
        self.tell.send(Change::Disconnected).unwrap();
        turns().await;
    }
}

/// The call goes out with alice's token, and is answered.
async fn is_answered(call: Call, server: &mut Server) {
    let (arrived, respond) = soon(server.next_request()).await.unwrap();
    assert_eq!(arrived.headers()["authorization"], "Bearer alices");
    respond.send_response(Response::new(String::new()));
    assert_eq!(soon(call).await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn rule_6_a_call_that_would_wait_uses_what_is_in_memory_while_the_store_is_away() {
    let mut world = World::new();
    let alice = user("alice");
    world.sessions.insert(fresh(&alice, "alices", &world.clock)).await.unwrap();
    world.outage().await;
    assert!(world.sessions.get(&alice).await.is_ok());
    world.server.allow(1);
    let call = tokio::spawn(world.client.ready().await.unwrap().call(request(&alice)));
    turns().await;
    assert!(!call.is_finished(), "{:?}", call.await);
    is_answered(call, &mut world.server).await;
}

#[tokio::test]
async fn rule_10_a_call_that_has_waited_goes_out_though_the_store_went_away_meanwhile() {
    let mut world = World::new();
    let alice = user("alice");
    world.server.allow(1);
    let call = tokio::spawn(world.client.ready().await.unwrap().call(request(&alice)));
    turns().await;
    assert_eq!(world.sessions.reauth_queue().len(), 1, "it waits");
    // She logs in; until the service is ready for the call, the store has gone.
    world.server.allow(0);
    world.sessions.insert(fresh(&alice, "alices", &world.clock)).await.unwrap();
    turns().await;
    world.outage().await;
    world.server.allow(1);
    is_answered(call, &mut world.server).await;
}
