//! What it costs a process to hear of logins that happen elsewhere.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use moojo_session::{SessionManager, SessionStore};
use moojo_testkit::{Postgres, Redis};
use tokio::runtime::Runtime;

use super::records::People;
use super::turns::process_time;
use super::{Plan, postgres, redis};

/// What one message costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Processor time of a process that hears it and has nothing to do with its user.
    pub process: Duration,
    /// Processor time of the server to publish it to one who listens.
    pub server: Option<Duration>,
    /// And for each further one.
    pub listener: Option<Duration>,
}

/// Messages at a time: few enough for the listener's buffer.
const CHUNK: usize = 1000;
/// So many chunks are published, one every so often.
const PAUSE: Duration = Duration::from_millis(25);
/// Who listens besides, when the server's share is measured.
const CROWD: u32 = 32;

/// Through Redis.
pub fn redis(plan: &Plan, runtime: &Runtime) -> Cost {
    let server = Redis::start();
    let mut tell = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("it is there");
    let mut publish = |first: usize| {
        let script = format!(
            "for i = {first}, {} do redis.call('PUBLISH', 'moojo:changes:0', \
             's' .. string.format('%032x', i) .. 'elsewhere-' .. i) end",
            first + CHUNK - 1
        );
        say(&mut tell, &["EVAL", &script, "0"]);
    };
    let manager = SessionManager::new(redis::store(&server));
    let process = heard(plan, runtime, &manager, &redis::store(&server), &mut publish);
    let mut served = |chunks: usize| {
        let before = server_time(&server);
        (0..chunks).for_each(|chunk| publish(chunk * CHUNK));
        (server_time(&server) - before).div_f64((chunks * CHUNK) as f64)
    };
    let with_one = served(chunks(plan));
    let crowd: Vec<_> = (0..CROWD).map(|_| listen(&server)).collect();
    let with_all = served(chunks(plan));
    drop(server);
    crowd.into_iter().for_each(|listener| listener.join().expect("it reads to the end"));
    let listener = with_all.saturating_sub(with_one) / CROWD;
    Cost { process, server: Some(with_one), listener: Some(listener) }
}

/// Through PostgreSQL.
pub fn postgres(plan: &Plan, runtime: &Runtime) -> Cost {
    let server = runtime.block_on(Postgres::start(&postgres::SETTINGS));
    let raw = runtime.block_on(postgres::connect(&server));
    let mut publish = |first: usize| {
        let sql = format!(
            "select count(pg_notify('moojo_session_changes', \
             '+' || lpad(to_hex(i), 32, '0') || 'elsewhere-' || i)) \
             from generate_series({first}, {}) i",
            first + CHUNK - 1
        );
        runtime.block_on(raw.batch_execute(&sql)).expect("they are told");
    };
    let manager = SessionManager::new(postgres::store(&server));
    let process = heard(plan, runtime, &manager, &postgres::store(&server), &mut publish);
    Cost { process, server: None, listener: None }
}

fn chunks(plan: &Plan) -> usize {
    plan.rounds * 6
}

/// This process's time a message, less what it takes to wait as long.
fn heard(
    plan: &Plan,
    runtime: &Runtime,
    manager: &SessionManager,
    other: &impl SessionStore,
    publish: &mut dyn FnMut(usize),
) -> Duration {
    let alice = People::new(1).session(0);
    runtime.block_on(async {
        manager.insert(alice.clone()).await.expect("it is saved");
        // Until it hears.
        tokio::time::sleep(Duration::from_millis(500)).await;
        manager.get(alice.user()).await.expect("she is logged in");
    });
    let idle = spent(chunks(plan), |_| {});
    let busy = spent(chunks(plan), |chunk| publish(chunk * CHUNK));
    // It has heard all that came before this.
    runtime.block_on(async {
        other.remove(alice.user()).await.expect("it is removed");
        let begun = Instant::now();
        while manager.get(alice.user()).await.is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(5), "the manager hears nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    busy.saturating_sub(idle).div_f64((chunks(plan) * CHUNK) as f64)
}

/// The process's time for so many turns and the pauses between them.
fn spent(turns: usize, mut turn: impl FnMut(usize)) -> Duration {
    let before = process_time();
    for number in 0..turns {
        turn(number);
        thread::sleep(PAUSE);
    }
    process_time() - before
}

/// The time of Redis' one thread.
fn server_time(server: &Redis) -> Duration {
    // What was published before may still be on its way out.
    thread::sleep(Duration::from_millis(100));
    let said = server.say("INFO cpu").expect("it answers");
    let seconds = |word: &str| -> f64 {
        let rest = said.split_once(word).expect("Redis 6 or later says it").1;
        rest.lines().next().and_then(|text| text.trim().parse().ok()).expect("a number")
    };
    let (user, system) =
        (seconds("used_cpu_user_main_thread:"), seconds("used_cpu_sys_main_thread:"));
    Duration::from_secs_f64(user + system)
}

/// A thread that listens and does nothing else, until the server has gone.
fn listen(server: &Redis) -> thread::JoinHandle<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("it is there");
    say(&mut stream, &["SUBSCRIBE", "moojo:changes:0"]);
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    })
}

/// Says something and waits for the beginning of the answer.
fn say(stream: &mut TcpStream, words: &[&str]) {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(text.as_bytes()).expect("it is sent");
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).expect("it answers");
    assert!(read > 0 && answer[0] != b'-', "it is refused");
}
