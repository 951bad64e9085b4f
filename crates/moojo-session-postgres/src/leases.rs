//! Who takes care of a person who has to log in, by the server's clock.

use std::time::Duration;

use moojo_session::{
    DeclineReason, Lease, LeaseHolder, LeaseStore, StoreError, UserId, async_trait,
};

use crate::column;
use crate::store::PostgresStore;
use crate::times::micros;

// The three cases ask the same: is the entry over, or the caller's own lease? It is decided over
// the row that is locked. `statement_timestamp()` is one time for all of them, taken when the call
// came: that before a wait for a lock an entry is taken for longer than it is, does no harm.
const ACQUIRE: &str = "
    insert into {schema}.leases as l (user_id, holder, keep_until)
    values ($1, $2, statement_timestamp() + $3::bigint * interval '1 microsecond')
    on conflict (user_id) do update set
        (holder, declined, keep_until) = (
            select
                case when free then excluded.holder else l.holder end,
                case when free then null else l.declined end,
                case when free then excluded.keep_until else l.keep_until end
            from (select l.keep_until <= statement_timestamp()
                or (l.declined is null and l.holder = excluded.holder) as free) as entry)
    returning holder, declined,
        (extract(epoch from keep_until - statement_timestamp()) * 1000000)::bigint";

const RELEASE: &str = "
    delete from {schema}.leases
    where user_id = $1 and holder = $2 and declined is null
        and keep_until > statement_timestamp()
    returning 1";

const DECLINE: &str = "
    update {schema}.leases set
        declined = $4, keep_until = statement_timestamp() + $3::bigint * interval '1 microsecond'
    where user_id = $1 and holder = $2 and declined is null
        and keep_until > statement_timestamp()
    returning 1";

const CLEAR: &str = "delete from {schema}.leases where user_id = $1 returning 1";

#[async_trait]
impl LeaseStore for PostgresStore {
    async fn acquire(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        time: Duration,
    ) -> Result<Lease, StoreError> {
        let holder = holder.to_bytes();
        let parameters: [crate::Parameter<'_>; 3] =
            [&user.as_str(), &holder.as_slice(), &micros(time)];
        let rows = self.writes(user.as_str()).write(ACQUIRE, &parameters).await?;
        let row = rows.first().ok_or_else(|| StoreError::corrupt("a lease without a row"))?;
        let (holds, declined): (&[u8], Option<i16>) = (column(row, 0)?, column(row, 1)?);
        let left = u64::try_from(column::<i64>(row, 2)?).unwrap_or(0);
        let left = Duration::from_micros(left);
        Ok(match declined {
            Some(reason) => Lease::Declined(reason_of(reason)?, left),
            None if holds == holder => Lease::Acquired,
            None => Lease::Held(left),
        })
    }

    async fn release(&self, user: &UserId, holder: LeaseHolder) -> Result<bool, StoreError> {
        let holder = holder.to_bytes();
        let parameters: [crate::Parameter<'_>; 2] = [&user.as_str(), &holder.as_slice()];
        Ok(!self.writes(user.as_str()).write(RELEASE, &parameters).await?.is_empty())
    }

    async fn decline(
        &self,
        user: &UserId,
        holder: LeaseHolder,
        reason: DeclineReason,
        time: Duration,
    ) -> Result<bool, StoreError> {
        let (holder, reason) = (holder.to_bytes(), i16::from(reason.to_number()));
        let parameters: [crate::Parameter<'_>; 4] =
            [&user.as_str(), &holder.as_slice(), &micros(time), &reason];
        Ok(!self.writes(user.as_str()).write(DECLINE, &parameters).await?.is_empty())
    }

    async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        self.writes(user.as_str()).write(CLEAR, &[&user.as_str()]).await.map(drop)
    }
}

fn reason_of(number: i16) -> Result<DeclineReason, StoreError> {
    let reason = u8::try_from(number).ok().and_then(DeclineReason::from_number);
    reason
        .ok_or_else(|| StoreError::corrupt("a reason that this version of the store does not know"))
}
