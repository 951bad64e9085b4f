//! What happens when several things happen to one user at once, in orders that are easily got wrong:
//! loads, logins, refusals, feeds, clocks and runtimes that come and go at the wrong moment.

mod at_rest;
mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod feed;
mod loads;
mod runtimes;
mod waits;
