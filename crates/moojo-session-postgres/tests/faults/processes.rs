//! Several processes on one server, each with a manager in front of it.

use moojo_session::{Error, SessionManager};
use moojo_testkit::Postgres;

use crate::{eventually, login, store, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_does_the_others_see_and_an_outage_is_no_reason_to_log_in() {
    let mut server = Postgres::start(&["fsync=on", "synchronous_commit=on"]).await;
    let process = || SessionManager::new(store(&server.url()));
    let (here, there) = (process(), process());
    let (first, second) = (login("alice"), login("alice"));
    here.insert(first.clone()).await.unwrap();
    assert_eq!(there.get(first.user()).await.unwrap(), first);
    // The other process has it in memory now, and hears of what comes after it.
    here.insert(second.clone()).await.unwrap();
    eventually("the newer login is seen", async || {
        there.get(second.user()).await.is_ok_and(|session| session == second)
    })
    .await;
    here.revoke(second.user()).await.unwrap();
    eventually("the removal is seen", async || {
        matches!(there.get(second.user()).await, Err(Error::ReauthRequired(_)))
    })
    .await;

    // Rule 6: whether a session is in memory or not.
    let (alice, bob) = (login("alice"), login("bob"));
    here.insert(alice.clone()).await.unwrap();
    there.insert(bob.clone()).await.unwrap();
    server.kill();
    for _ in 0..20 {
        for login in [&alice, &bob] {
            match here.get(login.user()).await {
                Ok(session) => assert_eq!(&session, login),
                Err(error) => assert!(matches!(error, Error::Store(_)), "{error:?}"),
            }
        }
    }
    server.restart().await;
    for login in [&alice, &bob] {
        eventually("a session after the outage", async || {
            here.get(login.user()).await.is_ok_and(|session| session == *login)
        })
        .await;
    }
    let nobody = here.get(&user("nobody")).await;
    assert!(matches!(nobody, Err(Error::ReauthRequired(_))), "{nobody:?}");
}
