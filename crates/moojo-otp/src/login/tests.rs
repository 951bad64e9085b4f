//! Rules 8 and 9 whatever happens: several processes on one store send and verify in any order,
//! stop anywhere, and lose answers, while the clock jumps.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::TimeDelta;
use moojo_session::{ApiKey, ManualClock, MemoryStore, SessionManager, UserId};
use proptest::prelude::*;

use super::{Inner, LoginFlow, send, verify};
use crate::client::MoojoClient;
use crate::code::VerificationCode;
use crate::phone::PhoneNumber;

mod world;

use world::{Kind, World};

const COOLDOWN: TimeDelta = TimeDelta::seconds(30);
const ATTEMPTS: u32 = 2;

/// What a process does next, and what the world does with that.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A person wants a code, to one of two numbers.
    Send { elsewhere: bool },
    /// A person types a code.
    Verify { code: u8 },
    /// A process does its next step, with this fate.
    Step { process: usize, fate: u8 },
    /// A process ends where it stands.
    Crash { process: usize },
    /// The wall clock is set.
    Jump { seconds: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    let jumps = prop::sample::select(vec![1, 29, 31, 31, 31, 61, 601, 7200, -1, -31, -601]);
    prop_oneof![
        3 => any::<bool>().prop_map(|elsewhere| Event::Send { elsewhere }),
        4 => (0..3_u8).prop_map(|code| Event::Verify { code }),
        24 => (0..MAX_PROCESSES, any::<u8>())
            .prop_map(|(process, fate)| Event::Step { process, fate }),
        1 => (0..MAX_PROCESSES).prop_map(|process| Event::Crash { process }),
        2 => jumps.prop_map(|seconds| Event::Jump { seconds }),
    ]
}

/// How many are under way at once.
const MAX_PROCESSES: usize = 4;

struct Process {
    id: usize,
    run: Pin<Box<dyn Future<Output = ()>>>,
}

struct Run {
    world: World,
    clock: ManualClock,
    /// Each process is one of its own: nothing is shared but the store.
    flow: Arc<Inner>,
    processes: Vec<Process>,
}

impl Run {
    fn new() -> Self {
        let clock = ManualClock::new("2025-02-16T13:12:52Z".parse().unwrap());
        let world = World::new();
        let moojo = MoojoClient::builder(ApiKey::new("key").unwrap())
            .transport(world.clone())
            .clock(clock.clone())
            .retries(0)
            .build()
            .unwrap();
        let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
        let flow = LoginFlow::builder(moojo, sessions)
            .challenges(world.clone())
            .resend_cooldown(COOLDOWN.to_std().unwrap())
            .attempts_per_code(ATTEMPTS)
            .sends_per_number(u32::MAX, Duration::from_secs(1))
            .unanswered_sends(u32::MAX, Duration::from_secs(1))
            .build();
        Self { world, clock, flow: flow.shared, processes: Vec::new() }
    }

    async fn happen(&mut self, event: Event) {
        // No two things happen in one microsecond.
        self.clock.advance(Duration::from_micros(1));
        match event {
            Event::Send { .. } | Event::Verify { .. } if self.processes.len() == MAX_PROCESSES => {}
            Event::Send { elsewhere } => {
                let to = if elsewhere { "+15559876544" } else { "+15559876543" };
                let (flow, phone) = (Arc::clone(&self.flow), to.parse::<PhoneNumber>().unwrap());
                let id = self.world.start(Kind::Send);
                let run = async move { drop(send::send_code(flow, alice(), phone).await) };
                self.processes.push(Process { id, run: Box::pin(run) });
            }
            Event::Verify { code } => {
                let code = VerificationCode::new(&code.to_string()).unwrap();
                let flow = Arc::clone(&self.flow);
                let id = self.world.start(Kind::Verify);
                let run = async move { drop(verify::verify(flow, alice(), code).await) };
                self.processes.push(Process { id, run: Box::pin(run) });
            }
            Event::Step { process, fate } => {
                let Some(process) = pick(&mut self.processes, process) else { return };
                self.world.turn(self.processes[process].id, fate);
                let run = &mut self.processes[process].run;
                let ended = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_ready())).await;
                if ended {
                    self.processes.swap_remove(process);
                }
            }
            Event::Crash { process } => {
                if let Some(process) = pick(&mut self.processes, process) {
                    self.processes.swap_remove(process);
                }
            }
            Event::Jump { seconds } => {
                self.clock.jump_wall(TimeDelta::seconds(seconds));
                if seconds < 0 {
                    self.world.clock_set_back();
                }
            }
        }
    }
}

fn pick(processes: &mut [Process], n: usize) -> Option<usize> {
    n.checked_rem(processes.len())
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

fn run(events: Vec<Event>) -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new();
        for event in events {
            run.happen(event).await;
        }
        run.world
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The world panics as soon as a rule is broken: see [`World`].
    #[test]
    fn rules_8_and_9_hold_whatever_happens(events in prop::collection::vec(event(), 0..150)) {
        run(events);
    }
}

/// That the above says something: the same events, drawn without end, do come to everything that the
/// rules are about.
#[test]
fn what_the_rules_are_about_does_happen() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen = world::Seen::default();
    for _ in 0..200 {
        let events = prop::collection::vec(event(), 150).new_tree(&mut runner).unwrap().current();
        seen.add(run(events).seen());
    }
    assert!(seen.all_above(20), "{seen:?}");
}

/// What the above came upon once: the send of a process that read the clock before it was set back
/// takes the record of another for lapsed.
#[test]
fn rule_8_a_send_from_before_the_clock_was_set_back_hides_no_later_one() {
    let send = Event::Send { elsewhere: false };
    let step = |process, fate| Event::Step { process, fate };
    let order = |fate| [send, step(1, 2), step(1, 2), step(1, 2), step(1, fate)];
    // The first process has found no record, and will write its own.
    let mut events = vec![send, step(0, 2), step(0, 2), Event::Jump { seconds: -601 }];
    // The second one's order goes out, and it is not heard of again.
    events.extend(order(2));
    events.push(Event::Crash { process: 1 });
    events.push(step(0, 2));
    // The third.
    events.extend(order(2));
    run(events);
}
