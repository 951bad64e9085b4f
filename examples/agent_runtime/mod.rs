//! What an application sets up, and the time that goes by.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use moojo_examples::{Body, http_client};
use moojo_otp::{LoginFlow, LoginWorker, MoojoClient};
use moojo_session::{
    AccessToken, ApiKey, Clock, ManualClock, MemoryStore, OnReauth, ReauthQueue, Session,
    SessionLayer, SessionManager,
};
use moojo_sim::MoojoSim;
use tokio::task::{AbortHandle, JoinSet};
use tower::ServiceBuilder;

mod agent;
mod crowd;
mod summary;
mod tally;

pub(crate) use summary::Summary;
pub(crate) use tally::{Snapshot, grouped};

use agent::Agent;
use crowd::{Crowd, Person};
use tally::Tally;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A call waits so long for its person.
const PATIENCE: Duration = minutes(12);
/// A token lives so long.
const TOKEN_LIFE: Duration = minutes(120);
const WORKERS: usize = 4;
/// All login workers but one die then, in the middle of asking people.
const WORKERS_DIE_AT: Duration = minutes(40);
/// Moojo ends some tokens before their time then.
const TOKENS_REVOKED_AT: Duration = minutes(60);

/// The virtual time moves by this much at once.
const TICK: Duration = Duration::from_secs(30);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// How much is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) users: usize,
    pub(crate) agents_each: usize,
    /// How many calls a task has.
    pub(crate) calls: usize,
    /// Of what people and agents do, and when.
    pub(crate) seed: u64,
    /// How long half a minute of virtual time takes, or longer if calls are on the way.
    pub(crate) real_tick: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        let real_tick = Duration::from_millis(25);
        Self { users: 300, agents_each: 3, calls: 12, seed: 1, real_tick }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, agents_each, calls, seed, .. } = self;
        let agents = grouped(users * agents_each);
        writeln!(f, "{users} people, {agents} agents, {calls} calls in each task, seed {seed}.")?;
        let ends = "Everybody's token ends within two hours; a new one takes a code from an SMS.";
        writeln!(f, "{ends}")?;
        writeln!(f, "{WORKERS} workers ask people, and a call waits 12 minutes for its person.")?;
        writeln!(f, "At 0:40 all workers but one die; at 1:00 Moojo ends some tokens too early.")?;
        write!(f, "The hours are virtual.")
    }
}

/// Runs all tasks to their end. `watch` sees how it goes.
pub(crate) async fn run(
    plan: &Plan,
    mut watch: impl FnMut(&Snapshot),
) -> Result<Summary, BoxError> {
    // In place of the real Moojo, and of the hours that a task takes.
    let clock = ManualClock::new("2025-02-16T08:00:00Z".parse()?);
    let most_requests = plan.users * plan.agents_each * plan.calls * 4 + 10_000;
    let sim = MoojoSim::builder().clock(clock.clone()).record_limit(most_requests);
    let sim = Arc::new(sim.start().await?);

    let api_key = ApiKey::new(sim.api_key())?;
    let lease = minutes(5);
    let sessions =
        SessionManager::builder(MemoryStore::new()).clock(clock.clone()).lease(lease).build();
    let client = ServiceBuilder::new()
        .layer(
            SessionLayer::new(sessions.clone())
                .api_key(api_key.clone())
                .allow_origin(&sim.base_url())?
                .on_reauth(OnReauth::Wait(PATIENCE))
                .repeat_bodies::<Body>(),
        )
        // Under the layer: a call that waits for a person holds none of these places.
        .concurrency_limit(64)
        .service(http_client());

    let people: Arc<[Person]> = (0..plan.users).map(|i| Person::new(plan.seed, i)).collect();
    log_everybody_in(&people, &sim, &sessions, &clock).await?;

    let moojo = MoojoClient::builder(api_key)
        .base_url(&sim.base_url())?
        .clock(clock.clone())
        // Ten seconds are nothing to a clock that leaps.
        .timeout(minutes(30))
        .build()?;
    let login = LoginFlow::new(moojo, sessions.clone());
    let crowd = Crowd::new(Arc::clone(&people), Arc::clone(&sim), clock.clone());
    let mut workers = JoinSet::new();
    let worker = || LoginWorker::new(login.clone(), crowd.clone()).lease(lease).run();
    workers.spawn(worker());
    let doomed: Vec<_> = (1..WORKERS).map(|_| workers.spawn(worker())).collect();

    let tally = Arc::new(Tally::new(plan));
    let mut agents = JoinSet::new();
    for (i, person) in people.iter().enumerate() {
        for number in 0..plan.agents_each {
            let agent = Agent {
                user: person.user.clone(),
                purpose: agent::purpose(number)?,
                client: client.clone(),
                moojo: sim.base_url(),
                clock: clock.clone(),
                tally: Arc::clone(&tally),
                dice: dice(plan.seed, (i * plan.agents_each + number) as u64),
            };
            agents.spawn(agent.run(plan.calls));
        }
    }

    let queue = sessions.reauth_queue();
    let began = clock.monotonic();
    while !agents.is_empty() {
        tokio::time::sleep(plan.real_tick).await;
        settle(&tally, &crowd, &queue).await;
        clock.advance(TICK);
        let time = clock.monotonic() - began;
        if time == WORKERS_DIE_AT {
            doomed.iter().for_each(AbortHandle::abort);
        }
        if time == TOKENS_REVOKED_AT {
            let unlucky = people.iter().step_by(10);
            tally.revoked.add(unlucky.map(|person| sim.revoke_user(&person.phone)).sum());
        }
        // An agent that panicked leaves a call without an end, which counts as lost.
        while agents.try_join_next().is_some() {}
        watch(&Snapshot::new(&tally, &queue, &sim, time));
    }
    Ok(Summary::new(&tally, &crowd, &sim, clock.monotonic() - began))
}

/// The people logged in one after the other in the last two hours.
async fn log_everybody_in(
    people: &[Person],
    sim: &MoojoSim,
    sessions: &SessionManager,
    clock: &ManualClock,
) -> Result<(), BoxError> {
    for person in people {
        let issued = sim.login(&person.phone);
        let session = Session::builder(person.user.clone(), AccessToken::new(&issued.token)?)
            .issued_at(clock.now())
            .expires_at(issued.expires_at)
            .build()?;
        sessions.insert(session).await?;
        clock.advance((TOKEN_LIFE - minutes(5)) / u32::try_from(people.len())?);
    }
    Ok(())
}

/// Lets the calls and logins that are on the way arrive before the time moves on, so that a busy
/// machine does not look like slow people.
async fn settle(tally: &Tally, crowd: &Crowd, queue: &ReauthQueue) {
    for _ in 0..150 {
        let requests = queue.list(None, usize::MAX);
        let waiting: usize = requests.iter().map(|request| request.waiting()).sum();
        if tally.under_way() <= waiting && !crowd.is_logging_in(&requests) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Dice of their own for everybody, so that who rolls first changes nothing.
fn dice(seed: u64, whose: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ whose)
}
