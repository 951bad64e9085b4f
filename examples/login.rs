//! A login against the real Moojo: a code is sent to the number, and you type it.
//!
//! ```text
//! MOOJO_API_KEY=… cargo run --example login -- "+1 555 987 6543"
//! ```
//!
//! `MOOJO_BASE_URL` names another Moojo, such as the simulated one (`cargo run -p moojo-sim`).
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, Write};
use std::process::ExitCode;

use moojo_examples::{Arguments, BoxError, exit_code, masked};
use moojo_otp::{LoginError, LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{ApiKey, Chain, MemoryStore, Session, SessionManager, UserId};

const HELP: &str = "\
A login against the real Moojo: a code is sent to the number, and you type it.

    MOOJO_API_KEY=… cargo run --example login -- \"+1 555 987 6543\"

    MOOJO_API_KEY    your key, from Moojo
    MOOJO_BASE_URL   another Moojo, such as the simulated one (cargo run -p moojo-sim)";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match (Arguments::of(arguments.clone()), arguments.len()) {
        (Arguments::Help, _) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        (Arguments::Other(phone), 1) => exit_code(run(&phone.to_string_lossy()).await),
        _ => {
            eprintln!("error: it takes one phone number, in quotes\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

async fn run(phone: &str) -> Result<(), BoxError> {
    let phone: PhoneNumber = phone.parse()?;
    let api_key =
        std::env::var("MOOJO_API_KEY").map_err(|_| "MOOJO_API_KEY is not set: see --help")?;
    let api_key = ApiKey::new(api_key)?;
    let mut moojo = MoojoClient::builder(api_key);
    if let Ok(url) = std::env::var("MOOJO_BASE_URL") {
        moojo = moojo.base_url(&url)?;
    }
    let login = LoginFlow::new(moojo.build()?, SessionManager::new(MemoryStore::new()));

    let user = UserId::new("me")?;
    match login.send_code(&user, &phone).await {
        Ok(_) => println!("A code is on its way to {phone}."),
        Err(error @ LoginError::SendUnknown { .. }) => {
            println!("{}. If one comes, it is good.", Chain(&error))
        }
        Err(error) => return Err(error.into()),
    }
    let session = ask_for_code(&login, &user).await?;

    println!("Logged in.");
    println!("  token          {}", masked(&session));
    println!("  good until     {}", session.expires_at().format("%Y-%m-%d %H:%M:%S UTC"));
    println!("  public user id {}", session.public_user_id().unwrap_or("(none)"));
    Ok(())
}

/// Asks until the code is right or no attempts are left.
async fn ask_for_code(login: &LoginFlow, user: &UserId) -> Result<Session, BoxError> {
    loop {
        print!("Code: ");
        io::stdout().flush()?;
        let mut typed = String::new();
        if io::stdin().read_line(&mut typed)? == 0 {
            return Err("no code was typed".into());
        }
        let code = match VerificationCode::new(&typed) {
            Ok(code) => code,
            Err(error) => {
                println!("That is no code: {error}.");
                continue;
            }
        };
        match login.verify(user, &code).await {
            Err(LoginError::WrongCode { attempts_left, .. }) if attempts_left > 0 => {
                println!("That is not the code; {attempts_left} attempts are left.");
            }
            outcome => return Ok(outcome?),
        }
    }
}
