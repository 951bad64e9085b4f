//! An agent runtime: hundreds of agents at long tasks for hundreds of people, whose tokens end under
//! way. The calls that this interrupts wait while login workers have the person asked for a code,
//! and go on where they stood. No call is lost.
//!
//! ```text
//! cargo run --example agent_runtime
//! cargo run --example agent_runtime -- --users 1000 --seed 7
//! ```
//!
//! Moojo, the people and the time are simulated, the rest is real: HTTP over TCP, the layer, the
//! queue and the workers. The folder `agent_runtime` has the runtime:
//!
//! - `mod.rs`: what an application sets up, and the time that goes by;
//! - `agent.rs`: a task, call by call, and what an agent does if a call ends badly;
//! - `crowd.rs`: the people, as the login workers reach them;
//! - `tally.rs` and `summary.rs`: what is counted; `view.rs`: how it is shown.
//!
//! The seed decides what everybody does. As the rest is really concurrent, the figures of two runs
//! differ by a few all the same; those that must be 0 do not.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use moojo_examples::{BoxError, exit_code};

#[path = "agent_runtime/mod.rs"]
mod runtime;
#[path = "agent_runtime/view.rs"]
mod view;

use runtime::Plan;
use view::{View, say};

const HELP: &str = "\
Agents at long tasks for many people, whose tokens end under way.

    --users N    how many people (300)
    --agents N   how many agents each of them has (3)
    --calls N    how many calls a task has (12)
    --seed N     who does what, and when (1)";

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run().await)
}

async fn run() -> Result<ExitCode, BoxError> {
    let options = options().map_err(|error| format!("{error}: see --help"))?;
    let Some(plan) = options else {
        say(HELP);
        return Ok(ExitCode::SUCCESS);
    };
    say(&format!("{plan}\n"));
    let began = Instant::now();
    let mut view = View::new();
    let summary = runtime::run(&plan, |snapshot| view.show(snapshot)).await?;
    let seconds = began.elapsed().as_secs_f32();
    say(&format!("\n{summary}\nIt took {seconds:.1} seconds."));
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options() -> Result<Option<Plan>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut plan = Plan::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("users") => plan.users = number(&mut parser, "--users")?,
            Long("agents") => plan.agents_each = number(&mut parser, "--agents")?,
            Long("calls") => plan.calls = number(&mut parser, "--calls")?,
            Long("seed") => plan.seed = number(&mut parser, "--seed")?,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(plan))
}

fn number<T: FromStr>(parser: &mut lexopt::Parser, option: &str) -> Result<T, lexopt::Error> {
    let value = parser.value()?;
    let number = value.to_str().and_then(|value| value.parse().ok());
    number.ok_or_else(|| format!("{option} takes a number, not {value:?}").into())
}
