use std::time::Duration;

use async_trait::async_trait;
use moojo_session::{DeclineReason, Lease, LeaseHolder, LeaseStore, StoreError, UserId};
use redis::Value;

use crate::error::Failure;
use crate::request::{Request, yes_or_no};
use crate::store::RedisStore;
use crate::{millis, script};

/// An entry is `h` and its holder, or `d` and the reason. It goes when its time is over, by the
/// server's clock.
#[async_trait]
impl LeaseStore for RedisStore {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        let request = Request::script(&script::ACQUIRE, self.keys().lease(user))
            .arg(held_by(holder))
            .arg(millis::of(time).to_string());
        match self.client().call(request).await? {
            Value::Nil => Ok(Lease::Acquired),
            Value::Array(parts) => match parts.as_slice() {
                [Value::BulkString(entry), Value::Int(left)] => {
                    read(entry, Duration::from_millis(u64::try_from(*left).unwrap_or(0)))
                }
                _ => Err(Failure::Answer.into()),
            },
            _ => Err(Failure::Answer.into()),
        }
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        let request = Request::script(&script::RELEASE, self.keys().lease(user));
        Ok(yes_or_no(&self.client().call(request.arg(held_by(holder))).await?)?)
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let request = Request::script(&script::DECLINE, self.keys().lease(user))
            .arg(held_by(holder))
            .arg(declined_for(reason)?)
            .arg(millis::of(time).to_string());
        Ok(yes_or_no(&self.client().call(request).await?)?)
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        let request = Request::command("DEL", self.keys().lease(user));
        yes_or_no(&self.client().call(request).await?)?;
        Ok(())
    }
}

fn held_by(holder: LeaseHolder) -> String {
    format!("h{holder}")
}

fn declined_for(reason: DeclineReason) -> Result<&'static str, StoreError> {
    match reason {
        DeclineReason::NotNow => Ok("d:not-now"),
        DeclineReason::NoAnswer => Ok("d:no-answer"),
        DeclineReason::Unreachable => Ok("d:unreachable"),
        _ => Err(StoreError::refused("a reason that this store has no word for")),
    }
}

fn read(entry: &[u8], left: Duration) -> Result<Lease, StoreError> {
    match entry {
        [b'h', ..] => Ok(Lease::Held(left)),
        b"d:not-now" => Ok(Lease::Declined(DeclineReason::NotNow, left)),
        b"d:no-answer" => Ok(Lease::Declined(DeclineReason::NoAnswer, left)),
        b"d:unreachable" => Ok(Lease::Declined(DeclineReason::Unreachable, left)),
        _ => Err(StoreError::corrupt("the lease is neither held nor declined")),
    }
}
