use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, LeaseHolder, LeaseStore};
use crate::reauth::DeclineReason;
use crate::store::{SealedStore, StoreError};
use crate::user::UserId;

/// There is no secret in a lease: they are kept as they are.
#[async_trait]
impl<S: LeaseStore> LeaseStore for SealedStore<S> {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        self.inner().acquire(user, holder, time).await
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        self.inner().release(user, holder).await
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        self.inner().decline(user, holder, reason, time).await
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.inner().clear(user).await
    }
}
