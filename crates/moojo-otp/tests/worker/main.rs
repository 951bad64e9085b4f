//! What a worker does with its claims.

mod claims;
mod codes;
#[path = "../common/mod.rs"]
mod common;
mod failures;
mod log;

use std::time::Duration;

use common::{World, alice, phone};
use moojo_otp::{Ask, People, PersonReply, PhoneNumber, VerificationCode};
use moojo_session::{Error, Session, UserId, async_trait};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Says nothing, and counts how often it was asked.
#[derive(Debug)]
struct Silent(watch::Sender<usize>);

#[async_trait]
impl People for Silent {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(phone()))
    }

    async fn code(&self, _: &Ask) -> PersonReply {
        self.0.send_modify(|asked| *asked += 1);
        std::future::pending().await
    }
}

/// Says at once what it is told to, given how often it was asked.
#[derive(Debug)]
struct Says(fn(usize, &Ask) -> PersonReply, watch::Sender<usize>);

#[async_trait]
impl People for Says {
    async fn phone(
        &self,
        _: &UserId,
    ) -> Result<Option<PhoneNumber>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Some(phone()))
    }

    async fn code(&self, ask: &Ask) -> PersonReply {
        self.1.send_modify(|asked| *asked += 1);
        let asked = *self.1.borrow();
        (self.0)(asked, ask)
    }
}

fn code(digits: &str) -> PersonReply {
    PersonReply::Code(VerificationCode::new(digits).unwrap())
}

async fn turns() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

/// A call that waits for an hour.
fn call(world: &World) -> JoinHandle<Result<Session, Error>> {
    let sessions = world.sessions.clone();
    tokio::spawn(async move { sessions.wait(&alice(), Duration::from_secs(3600)).await })
}
