//! What fails around the layer is no signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use moojo_session::Error;
use tower::{Layer, ServiceExt, service_fn};

use crate::common::{fresh, setup, user};
use crate::{Server, layer, request};

#[tokio::test]
async fn rule_6_an_outage_under_a_refusal_is_a_store_error() {
    let (sessions, store, clock) = setup();
    let server = Server::default();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "bad", &clock)).await.unwrap();
    server.refuse("bad");
    store.fail(true);
    let client = layer(&sessions).layer(server.client());
    let error = client.clone().oneshot(request(&alice)).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)));
    // Refused, so not sent again from memory, whatever became of the removal.
    assert!(matches!(client.oneshot(request(&alice)).await.unwrap_err(), Error::Store(_)));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_error_of_the_client_is_the_inner_error() {
    let (sessions, _, clock) = setup();
    let alice = user("alice");
    sessions.insert(fresh(&alice, "one", &clock)).await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let broken = {
        let calls = Arc::clone(&calls);
        service_fn(move |_: Request<String>| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err::<Response<String>, _>(std::io::Error::other("cable cut")))
        })
    };
    let client = layer(&sessions).layer(broken);
    match client.oneshot(request(&alice)).await {
        Err(Error::Inner(error)) => assert_eq!(error.to_string(), "cable cut"),
        _ => panic!("another outcome"),
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(sessions.get(&alice).await.is_ok());
}
