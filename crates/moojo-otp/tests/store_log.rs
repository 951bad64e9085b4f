//! What the log says of a store of logins that does some of what it is asked.

mod common;

use common::{Unwritten, world, world_with};
use moojo_session::{MemoryStore, StoreError};
use moojo_testkit::Log;

/// That it can be read says nothing of whether it can be written.
#[tokio::test]
async fn a_store_that_takes_no_login_is_not_said_to_work_again() {
    let (log, _guard) = Log::of_thread();
    let refused = Err(StoreError::refused("no permission to write"));
    let store = Unwritten { memory: world().challenges, swap: refused };
    let world = world_with(MemoryStore::new(), |flow| flow.challenges(store));
    for _ in 0..3 {
        world.send().await.unwrap_err();
    }
    let text = log.text();
    assert_eq!(log.lines_with(&["the session store works again"]), [""; 0], "{text}");
    assert_eq!(log.lines_with(&["WARN"]).len(), 1, "{text}");
    assert!(text.contains("refused: no permission to write"), "{text}");
}
