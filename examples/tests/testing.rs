//! The test of the guide to testing: it stands here as it stands there, and passes.

use std::time::Duration;

use chrono::Utc;
use moojo_otp::{LoginFlow, MoojoClient, PhoneNumber, VerificationCode};
use moojo_session::{ApiKey, Error, ManualClock, MemoryStore, SessionManager, UserId};
use moojo_sim::MoojoSim;

#[tokio::test]
async fn alice_logs_in_every_two_hours() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::new(Utc::now());
    let sim = MoojoSim::builder().clock(clock.clone()).start().await?;

    // In earnest your own function, which takes the key, the URL and the clock.
    let moojo = MoojoClient::builder(ApiKey::new(sim.api_key())?).base_url(&sim.base_url())?;
    let moojo = moojo.clock(clock.clone()).build()?;
    let sessions = SessionManager::builder(MemoryStore::new()).clock(clock.clone()).build();
    let login = LoginFlow::new(moojo, sessions.clone());

    let alice = UserId::new("alice")?;
    let phone: PhoneNumber = "+1(555)987-6543".parse()?;
    for sms in 1..=2 {
        login.send_code(&alice, &phone).await?;
        let typed = sim.last_code(phone.e164()).ok_or("no SMS came")?;
        login.verify(&alice, &VerificationCode::new(&typed)?).await?;
        assert!(sessions.get(&alice).await.is_ok());
        assert_eq!(sim.sms_count(), sms);

        clock.advance(Duration::from_secs(2 * 60 * 60));
        assert!(matches!(sessions.get(&alice).await, Err(Error::ReauthRequired(_))));
    }
    Ok(())
}

#[test]
fn it_stands_in_the_guide() {
    let guide = include_str!("../../docs/testing.md");
    let (_, rest) = guide.split_once("```rust\n").unwrap();
    let (test, _) = rest.split_once("```").unwrap();
    assert!(include_str!("testing.rs").contains(test), "{test}");
}
