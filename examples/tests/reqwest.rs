//! The example `reqwest`: what went over the wire.

#[path = "../reqwest.rs"]
#[allow(dead_code)] // its `main`
mod example;

use moojo_sim::MoojoSim;

#[tokio::test]
async fn a_refused_call_over_reqwest_is_sent_again_with_its_body() {
    let sim = MoojoSim::start().await.unwrap();
    example::run(&sim).await.unwrap();
    let calls = sim.requests_to("/user/vault/list-credentials");
    let statuses: Vec<_> = calls.iter().map(|call| call.status.unwrap().as_u16()).collect();
    assert_eq!(statuses, [200, 401, 200]);
    for call in calls {
        assert_eq!(call.body, "{}");
        assert_eq!(call.headers["x-api-key"], sim.api_key());
    }
}
