//! The measurements of the shared stores run: what they come to is another matter.

use moojo_benches::stores::records::People;
use moojo_benches::stores::{IN_FLIGHT, Plan, feed, postgres, redis, runtime, sqlite};

#[test]
fn every_store_is_measured_beside_its_client() {
    let (plan, runtime) = (Plan::SMALL, runtime());
    let people = People::new(plan.users);
    for measure in [redis::measure, postgres::measure, sqlite::measure] {
        let figures = measure(&plan, &runtime, &people);
        assert_eq!(figures.loads.len(), IN_FLIGHT.len());
        for score in figures.loads.iter().chain(&figures.saves).flat_map(|it| &it.scores) {
            assert!(score.rate > 0.0, "{score:?}");
        }
        assert!(figures.bytes.session > 300.0, "a record alone has more: {figures:?}");
    }
}

#[test]
fn a_manager_hears_what_is_published_and_asks_once() {
    let (plan, runtime) = (Plan::SMALL, runtime());
    feed::redis(&plan, &runtime);
    feed::postgres(&plan, &runtime);
    let (_, asked) = redis::behind_a_manager(&plan, &runtime);
    assert!(asked <= plan.users as u64, "{asked}");
}
