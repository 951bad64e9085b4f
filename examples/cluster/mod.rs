//! Starts the processes, kills some, and has counted what they say.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moojo_examples::BoxError;
use moojo_session::UserId;
use moojo_sim::MoojoSim;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

pub(crate) mod process;
mod server;
mod summary;

use process::Job;
use server::Server;
pub(crate) use summary::Summary;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) processes: usize,
    pub(crate) users: usize,
    /// It goes on for so long, and until so many calls were answered.
    pub(crate) seconds: u64,
    pub(crate) calls: usize,
    /// It fails if it has not come so far by then.
    pub(crate) seconds_at_most: u64,
    pub(crate) token_life: Duration,
    /// Between two calls for a user in a process, at most.
    pub(crate) pause_millis: u64,
    /// In which second which process is killed.
    pub(crate) kills: Vec<(u64, usize)>,
    /// Whether another is started in its place.
    pub(crate) restart: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            processes: 3,
            users: 20,
            seconds: 24,
            calls: 0,
            seconds_at_most: 300,
            token_life: Duration::from_secs(6),
            pause_millis: 300,
            kills: vec![(12, 1)],
            restart: false,
        }
    }
}

pub(crate) fn user(n: usize) -> UserId {
    UserId::new(format!("user-{n}")).expect("short and printable")
}

pub(crate) fn phone(n: usize) -> String {
    format!("+1555{n:07}")
}

/// What a process says, in one piece.
pub(crate) fn say(line: &str) {
    use std::io::Write;
    // It fails when the parent has gone.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Runs it on the Redis at this URL, or on one of its own, and leaves nothing there.
pub(crate) async fn run(
    plan: &Plan,
    redis: Option<String>,
    program: impl Fn() -> Command,
    mut tell: impl FnMut(String),
) -> Result<Summary, BoxError> {
    let server = Server::find(redis)?;
    let prefix = format!("cluster-{}", std::process::id());
    server.check(&prefix).await?;
    let outcome = run_on(&server, &prefix, plan, program, &mut tell).await;
    if let Err(error) = server.clear(&prefix).await {
        let why = error.code().unwrap_or_else(|| error.category());
        tell(format!("\nThe keys that begin with {prefix} stay in Redis until they lapse: {why}."));
    }
    outcome
}

async fn run_on(
    server: &Server,
    prefix: &str,
    plan: &Plan,
    program: impl Fn() -> Command,
    mut tell: impl FnMut(String),
) -> Result<Summary, BoxError> {
    let sim = MoojoSim::builder().token_ttl(plan.token_life).record_limit(1 << 20).start().await?;
    let job = Job {
        redis: server.url.clone(),
        prefix: prefix.to_owned(),
        moojo: sim.base_url(),
        key: sim.api_key().to_owned(),
        users: plan.users,
        pause_millis: plan.pause_millis,
    };
    let mut running = Vec::new();
    for _ in 0..plan.processes {
        running.push(Running::start(program(), &job)?);
    }
    let mut ended: Vec<Running> = Vec::new();
    let mut kills = 0;
    tell(format!(
        "{} processes call for {} users each, whose tokens live {:?}.\n",
        plan.processes, plan.users, plan.token_life
    ));
    tell("   s  codes sent  calls answered by each process".to_owned());
    for second in 1.. {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answered: String =
            running.iter().map(|process| format!("{:>8}", process.answered())).collect();
        tell(format!("{second:>4}  {:>10}  {answered}", sim.sms_count()));
        for (_, victim) in plan.kills.iter().filter(|(when, _)| *when == second) {
            tell(format!("      process {} is killed", victim + 1));
            running[*victim].child.start_kill()?;
            kills += 1;
            if plan.restart {
                let next = Running::start(program(), &job)?;
                ended.push(std::mem::replace(&mut running[*victim], next));
            }
        }
        let calls: usize = running.iter().chain(&ended).map(Running::answered).sum();
        if second >= plan.seconds && calls >= plan.calls {
            break;
        }
        if second >= plan.seconds_at_most {
            return Err(format!("{calls} calls of {} in {second} seconds", plan.calls).into());
        }
    }
    let mut lines = Vec::new();
    for process in running.iter_mut().chain(&mut ended) {
        process.stop();
    }
    for process in running.into_iter().chain(ended) {
        lines.push(process.end().await?);
    }
    Ok(Summary::of(plan, kills, &sim, &lines))
}

/// A process whose lines are collected.
struct Running {
    child: Child,
    lines: JoinHandle<Vec<String>>,
    answered: Arc<AtomicUsize>,
}

impl Running {
    fn start(program: Command, job: &Job) -> Result<Self, BoxError> {
        let mut command = tokio::process::Command::from(program);
        command.envs(job.env()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("it is piped")?;
        let answered = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&answered);
        let lines = tokio::spawn(async move {
            let mut lines = Vec::new();
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                count.fetch_add(usize::from(line.starts_with("ok")), Ordering::Relaxed);
                lines.push(line);
            }
            lines
        });
        Ok(Self { child, lines, answered })
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// It makes no further calls, once those under way are answered.
    fn stop(&mut self) {
        drop(self.child.stdin.take());
    }

    async fn end(mut self) -> Result<Vec<String>, BoxError> {
        self.child.wait().await?;
        Ok(self.lines.await?)
    }
}
