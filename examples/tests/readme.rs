//! The program of the README: it stands here as it stands there, and does what it says.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{ApiKey, Chain, Error, MemoryStore, SessionLayer, SessionManager, UserId};
use tower::{Layer, ServiceExt, service_fn};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn run() -> Result<(), BoxError> {
    // reqwest, as a `Service<http::Request<_>>` that follows no redirects itself.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()?;
    let http_client = service_fn(move |request: Request<Bytes>| {
        let http = http.clone();
        async move {
            let request = request.map(reqwest::Body::from).try_into()?;
            http.execute(request).await.map(Response::from)
        }
    });

    // At the start of your service: the login, and the layer over the client.
    let url = env::var("MOOJO_BASE_URL").unwrap_or_else(|_| "https://api.moojo.id".into());
    let api_key = env::var("MOOJO_API_KEY").map_err(|_| "MOOJO_API_KEY is not set")?;
    let api_key = ApiKey::new(api_key)?; // yours, from Moojo
    let moojo = MoojoClient::builder(api_key.clone()).base_url(&url)?.build()?;
    let login = LoginFlow::new(moojo, SessionManager::new(MemoryStore::new()));
    let sessions = login.sessions().clone(); // one manager for both
    let client =
        SessionLayer::new(sessions).api_key(api_key).allow_origin(&url)?.layer(http_client);

    // A call, and whose it is.
    let mut request = Request::post(format!("{url}/user/vault/list-credentials"))
        .header("content-type", "application/json")
        .body(Bytes::new())?;
    request.extensions_mut().insert(UserId::new("alice")?); // binds the user to the request
    let call = || client.clone().oneshot(request.clone());
    let response = match call().await {
        Err(Error::ReauthRequired(signal)) => {
            log_in(&login, signal.user()).await?;
            call().await?
        }
        answer => answer?,
    };
    println!("{}", response.status());
    Ok(())
}

/// A service shows a form in between.
async fn log_in(login: &LoginFlow, user: &UserId) -> Result<(), BoxError> {
    let phone: PhoneNumber = "+1(555)987-6543".parse()?; // from your user records
    if let Err(error) = login.send_code(user, &phone).await {
        // One that can be tried may be out all the same.
        if login.pending(user).await?.is_none() {
            return Err(error.into());
        }
    }
    println!("The code that {user} was sent:");
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    login.verify(user, &VerificationCode::new(&typed)?).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    eprintln!("{}", Chain(&*error)); // what failed, and why
    ExitCode::FAILURE
}

mod tests {
    use std::env;
    use std::process::{ExitCode, Stdio};

    use moojo_sim::MoojoSim;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::process::Command;

    use super::main;

    #[test]
    fn it_stands_in_the_readme() {
        let readme = include_str!("../../README.md");
        let block = |kind: &str| {
            let (_, rest) = readme.split_once(&format!("```{kind}\n")).unwrap();
            rest.split_once("```").unwrap().0
        };
        let program = block("rust");
        assert!(include_str!("readme.rs").contains(program), "{program}");
        let needed = program.lines().filter_map(|line| line.strip_prefix("use ")?.split_once("::"));
        for name in needed.map(|(name, _)| name.replace('_', "-")).chain(["reqwest".to_owned()]) {
            let listed = block("toml").contains(&format!("\n{name} = "));
            assert!(listed || name == "std", "not among the dependencies: {name}");
        }
    }

    /// Not a test: the program itself, which the one below starts.
    #[test]
    fn program() -> ExitCode {
        if env::var("README_PROGRAM").is_ok() { main() } else { ExitCode::SUCCESS }
    }

    #[tokio::test]
    async fn a_person_logs_in_and_the_call_is_made() {
        let sim = MoojoSim::start().await.unwrap();
        let mut program = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tests::program", "--nocapture"])
            .env("README_PROGRAM", "run")
            .env("MOOJO_BASE_URL", sim.base_url())
            .env("MOOJO_API_KEY", sim.api_key())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
        while said.next_line().await.unwrap().unwrap() != "The code that alice was sent:" {}
        let code = sim.last_code("+1(555)987-6543").unwrap();
        program.stdin.take().unwrap().write_all(format!("{code}\n").as_bytes()).await.unwrap();
        while said.next_line().await.unwrap().unwrap() != "200 OK" {}
        assert!(program.wait().await.unwrap().success());
        assert_eq!(sim.sms_count(), 1);
    }
}
