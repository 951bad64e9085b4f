//! How an example begins and ends.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::ffi::OsString;
use std::process::{ExitCode, Termination};

use moojo_session::Chain;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What somebody wants of an example that takes no arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// To see it run.
    Run,
    /// `--help`: to know what it is.
    Help,
    /// Something else, which is not to be had.
    Other(OsString),
}

impl Wish {
    /// By the arguments, without the program's name.
    pub fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        match arguments.into_iter().next() {
            None => Self::Run,
            Some(argument) if argument == "--help" || argument == "-h" => Self::Help,
            Some(argument) => Self::Other(argument),
        }
    }
}

/// Runs an example that takes no arguments, or shows `help`, which says what it is.
pub async fn start<T: Termination>(
    help: &str,
    example: impl Future<Output = Result<T, BoxError>>,
) -> ExitCode {
    match Wish::of(std::env::args_os().skip(1)) {
        Wish::Run => ended(example.await),
        Wish::Help => {
            println!("{help}");
            ExitCode::SUCCESS
        }
        Wish::Other(argument) => {
            eprintln!("error: it takes no argument {}\n\n{help}", argument.display());
            ExitCode::from(2)
        }
    }
}

/// Ends a program. An error is shown with all its sources: `main` itself would show its `Debug`.
pub fn ended<T: Termination>(outcome: Result<T, BoxError>) -> ExitCode {
    match outcome {
        Ok(good) => good.report(),
        Err(error) => {
            eprintln!("error: {}", Chain(&*error));
            ExitCode::FAILURE
        }
    }
}
