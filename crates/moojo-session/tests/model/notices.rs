//! Notices before sessions end, and a feed that is late.

use std::time::Duration;

use futures_util::FutureExt;
use moojo_session::SessionManager;
use shuttle::future::{spawn, yield_now};

use crate::world::{World, alice, choose, explore};

const DAY: Duration = Duration::from_secs(86_400);

/// A process that gives a notice ten days before the end of a session, which lives for a year.
fn process(world: &World) -> SessionManager {
    world.builder().expiry_notices([10 * DAY]).build()
}

#[test]
fn the_process_in_which_somebody_has_logged_in_last_gives_the_notice() {
    explore(async || {
        let world = World::new();
        let processes = [process(&world), process(&world)];
        let mut made = [Vec::new(), Vec::new()];
        let mut logins = Vec::new();
        for (process, made) in processes.iter().zip(&mut made) {
            let sessions = [world.session(), world.session()];
            made.extend(sessions.clone().map(|session| session.id()));
            let (process, logs_out) = (process.clone(), choose(2) == 0);
            logins.push(spawn(async move {
                let [one, two] = sessions;
                process.insert(one).await.unwrap();
                if logs_out {
                    process.revoke(&alice()).await.unwrap();
                }
                process.insert(two).await.unwrap();
            }));
        }
        for login in logins {
            login.await.unwrap();
        }
        // Until all has been heard.
        for _ in 0..400 {
            yield_now().await;
        }
        world.clock.advance(360 * DAY);
        let current = world.store.current().unwrap().id();
        for (process, made) in processes.iter().zip(made) {
            let notices = process.expiry_notices().unwrap().next().now_or_never();
            let given = notices.map(|notices| notices[0].id);
            assert_eq!(given, made.contains(&current).then_some(current));
        }
    });
}
