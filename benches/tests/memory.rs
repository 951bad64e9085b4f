//! What a live session may take of memory, with store and slot.

use moojo_benches::memory::Shares;
use moojo_benches::workload::{Ids, Users};

const LIMIT: f64 = 700.0;

#[test]
fn a_live_session_takes_no_more_than_700_bytes() {
    // As full as the store's table is with 100,000: it doubles.
    let users = Users::new(Ids::Short, 50_000);
    let shares = Shares::of(&users, |code| allocation_counter::measure(code).bytes_current);
    // What stands there without any session is shared by fewer here than in earnest.
    let live = shares.per_session(shares.all - shares.empty);
    assert!(live <= LIMIT, "{live} bytes: {shares:?}");

    // The parts, each made by itself, are what the whole is made of.
    let Shares { tokens, records, store, slots, table, empty, .. } = shares;
    let parts = tokens + records + store + slots + table + empty;
    let missing = shares.per_session(shares.all - parts);
    assert!(missing.abs() < 0.05 * LIMIT, "{missing} bytes are in no part: {shares:?}");
}
