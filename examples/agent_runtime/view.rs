//! The live view: redrawn in place in a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::runtime::{Snapshot, grouped};

/// A new line of the log, in virtual time.
const LOG_EVERY: Duration = Duration::from_secs(15 * 60);
const REDRAW_EVERY: Duration = Duration::from_millis(100);
const BAR: usize = 40;

pub(crate) enum View {
    Terminal { drawn: Option<Instant> },
    Log { next: Duration },
}

impl View {
    pub(crate) fn new() -> Self {
        match std::io::stdout().is_terminal() {
            true => Self::Terminal { drawn: None },
            false => Self::Log { next: Duration::ZERO },
        }
    }

    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        let over = snapshot.finished + snapshot.given_up == snapshot.tasks;
        match self {
            Self::Log { next } if over || snapshot.time >= *next => {
                if next.is_zero() {
                    say(&Snapshot::HEADER.join("\n"));
                }
                *next += LOG_EVERY;
                say(&snapshot.to_string());
            }
            Self::Terminal { drawn }
                if over || drawn.is_none_or(|at| at.elapsed() >= REDRAW_EVERY) =>
            {
                draw(snapshot, drawn.is_some());
                *drawn = Some(Instant::now());
            }
            Self::Log { .. } | Self::Terminal { .. } => {}
        }
    }
}

fn draw(now: &Snapshot, again: bool) {
    let done = (now.finished * BAR).checked_div(now.tasks).unwrap_or(BAR);
    let bar = format!("{}{}", "█".repeat(done), "░".repeat(BAR - done));
    let lines = [
        format!("time      {} hours", now.clock_time()),
        format!("tasks     {bar} {} of {} finished", now.finished, now.tasks),
        format!(
            "          {} put aside until the person may be asked again, {} given up",
            now.put_aside, now.given_up
        ),
        format!(
            "calls     {} answered, {} of them waited and were resumed",
            grouped(now.answered),
            now.resumed
        ),
        format!("          {} declined, {} past their deadline", now.declined, now.past_deadline),
        format!("waiting   {} calls, for {} people", now.waiting_calls, now.waiting_people),
        format!("codes     {} sent", now.codes_sent),
    ];
    let mut text = String::new();
    if again {
        // Back up to the first of them.
        text.push_str(&format!("\x1b[{}A", lines.len()));
    }
    for line in lines {
        text.push_str(&format!("\x1b[2K  {line}\n"));
    }
    say(text.trim_end());
}

/// Prints it. A reader that has gone away, such as `head`, is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
