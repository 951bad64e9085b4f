//! The hot path allocates nothing: what a request through the layer takes is what it takes
//! without.

use moojo_benches::subject::{Kind, Subjects};
use moojo_benches::workload::{Ids, Users};

/// All the allocations of a thousand requests for a hundred users.
fn allocations(ids: Ids, kind: Kind) -> u64 {
    let users = Users::new(ids, 100);
    let mut subject = Subjects::new(&users).make(kind);
    let sequence: Vec<u32> = (0..100).cycle().take(1000).collect();
    allocation_counter::measure(|| subject.run(&sequence)).count_total
}

#[test]
fn the_hot_path_allocates_nothing() {
    for ids in [Ids::Short, Ids::Uuid] {
        for ours in [Kind::OursUserId, Kind::OursUserHandle, Kind::OursForUser] {
            let bare = allocations(ids, ours.bare().expect("it has one"));
            assert!(bare >= 1000, "the counter counts: a request itself allocates");
            assert_eq!(allocations(ids, ours), bare, "{} with {ids:?} ids", ours.name());
        }
    }
}

#[test]
fn the_count_sees_what_a_peer_allocates() {
    let bare = allocations(Ids::Short, Kind::Bare);
    // Its boxed future.
    assert_eq!(allocations(Ids::Short, Kind::HandWritten), bare + 1000);
}
