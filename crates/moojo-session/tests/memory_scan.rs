//! What stands in the memory of the process: one copy of a token while it lives, none afterwards.
//! It reads the process's own memory, which Linux shows as a file.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use common::{start, user};
use moojo_session::{
    AccessToken, ApiKey, ManualClock, MemoryStore, Session, SessionLayer, SessionManager,
    SessionStore,
};
use parking_lot::Mutex;
use tower::{Layer, ServiceExt, service_fn};

/// The part of a secret that is looked for: an allocator writes into the beginning of what is freed,
/// and what it leaves behind counts.
const LOOKED_FOR: std::ops::Range<usize> = 24..64;

/// Held by each test: the scan of one would find the secrets in the buffer of another's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A 64-character secret that stands nowhere but where it is written: it is made, and looked for,
/// from a seed, byte by byte.
fn byte(seed: u8, at: usize) -> u8 {
    b'a' + (seed.wrapping_mul(31).wrapping_add((at as u8).wrapping_mul(7)) ^ (at as u8 >> 2)) % 26
}

fn secret(seed: u8) -> String {
    let mut secret = String::with_capacity(64);
    secret.extend((0..64).map(|at| char::from(byte(seed, at))));
    secret
}

/// How often the secret stands in the writable memory of this process.
fn copies(seed: u8) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = BufReader::new(File::open("/proc/self/maps").unwrap());
    // What is read is not searched: it would be found twice.
    let mut buffer = vec![0; 1 << 20];
    let own = buffer.as_ptr().addr() as u64..buffer.as_ptr().addr() as u64 + buffer.len() as u64;
    let mut found = 0;
    for map in maps.lines().map(Result::unwrap).filter(|map| map.contains(" rw")) {
        let (from, to) = map.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let below = from..to.min(own.start.max(from));
        let above = from.max(own.end.min(to))..to;
        for part in [below, above] {
            for at in part.clone().step_by(buffer.len() - LOOKED_FOR.len() + 1) {
                let len = buffer.len().min((part.end - at) as usize);
                // What cannot be read (`[vvar]`) holds no token.
                if memory.read_exact_at(&mut buffer[..len], at).is_ok() {
                    found += buffer[..len]
                        .windows(LOOKED_FOR.len())
                        .filter(|part| is_secret(part, seed))
                        .count();
                }
            }
        }
    }
    buffer.fill(0);
    found
}

fn is_secret(part: &[u8], seed: u8) -> bool {
    LOOKED_FOR.zip(part).all(|(at, found)| *found == byte(seed, at))
}

#[test]
fn rule_13_a_token_stands_in_memory_once_and_is_wiped_with_its_last_copy() {
    let _alone = ONE_AT_A_TIME.lock();
    assert_eq!(copies(1), 0, "the scan finds itself");
    let token = AccessToken::new(secret(1)).unwrap();
    assert_eq!(copies(1), 1, "the string that it came in was wiped");

    let session = Session::builder(user("alice"), token)
        .expires_at(start())
        .public_key("0x0288f8935f76")
        .build()
        .unwrap();
    let clones = (session.clone(), session.authorization(), session.access_token());
    assert_eq!(copies(1), 1, "the session has it instead of the token that it was made of");
    drop((session, clones.0, clones.2));
    assert_eq!(copies(1), 1, "the header value still has it");
    drop(clones.1);
    assert_eq!(copies(1), 0);
}

#[test]
fn rule_13_a_key_is_wiped_too_and_so_is_what_was_no_token() {
    let _alone = ONE_AT_A_TIME.lock();
    let key = ApiKey::new(secret(2)).unwrap();
    assert_eq!(copies(2), 1);
    drop(key);
    assert_eq!(copies(2), 0);
    AccessToken::new(secret(3) + "\n").unwrap_err();
    assert_eq!(copies(3), 0);
}

#[test]
fn rule_13_a_session_that_is_removed_leaves_no_token_in_the_store_or_the_manager() {
    let _alone = ONE_AT_A_TIME.lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let clock = ManualClock::new(start());
        let store = MemoryStore::new();
        let sessions = SessionManager::builder(store.clone()).clock(clock.clone()).build();
        let alice = user("alice");
        let client = SessionLayer::new(sessions.clone())
            .allow_origin("https://api.moojo.id")
            .unwrap()
            .layer(service_fn(|request: http::Request<()>| async move {
                assert_eq!(request.headers().len(), 1);
                Ok::<_, std::io::Error>(http::Response::new(()))
            }));
        for (seed, remove) in [(4, true), (5, false)] {
            let session = Session::builder(alice.clone(), AccessToken::new(secret(seed)).unwrap())
                .expires_at(start() + chrono::TimeDelta::hours(2))
                .build()
                .unwrap();
            sessions.insert(session).await.unwrap();
            for _ in 0..10 {
                let mut request = http::Request::get("https://api.moojo.id/").body(()).unwrap();
                request.extensions_mut().insert(alice.clone());
                client.clone().oneshot(request).await.unwrap();
            }
            assert_eq!(copies(seed), 1, "store, manager and requests share one");
            if remove {
                sessions.revoke(&alice).await.unwrap();
            } else {
                clock.advance(Duration::from_secs(7200));
                assert!(sessions.get(&alice).await.is_err());
                sessions.revoke(&alice).await.unwrap();
            }
            // moka frees what it has let go of with later activity, by epochs: nearly always that was
            // enough, and if not, a little more is.
            if copies(seed) > 0 {
                for _ in 0..10_000 {
                    store.load(&user("bob")).await.unwrap();
                }
            }
            assert_eq!(copies(seed), 0);
        }
    });
}
