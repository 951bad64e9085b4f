//! Counting what was sent, by the callers' clocks.

use chrono::{DateTime, Utc};
use moojo_session::{Admission, Quota, StoreError};

use crate::column;
use crate::hidden::Hidden;
use crate::store::PostgresStore;
use crate::times::micros;

// Decided over the row that is locked, and not over the one that the statement saw at its start. A
// row that is refused a use is written as well, so that the answer comes of the same step.
const ADMIT: &str = "
    insert into {schema}.quotas as q (key, ends, granted, keep_until)
    values ($1, case when $4::bigint > 0 then array[$3::bigint] else '{}' end, $4 > 0,
        statement_timestamp() + $5::bigint * interval '1 microsecond')
    on conflict (key) do update set
        (ends, granted) = (
            select
                case when count(e) < $4
                    then coalesce(array_agg(e order by e), '{}') || $3
                    else coalesce(array_agg(e order by e), '{}') end,
                count(e) < $4
            from unnest(q.ends) as e where e > $2::bigint and e <= $6::bigint),
        keep_until = greatest(q.keep_until, excluded.keep_until)
    returning granted, (select min(e) from unnest(ends) as e)";

const GIVE_BACK: &str = "
    update {schema}.quotas set
        ends = array(select e from unnest(ends) as e order by e desc offset 1)
    where key = $1 and exists (select from unnest(ends) as e where e > $2)
    returning 1";

pub(crate) async fn admit(
    store: &PostgresStore,
    quota: &Quota<'_>,
    now: DateTime<Utc>,
) -> Result<Admission, StoreError> {
    let now = nanos(now)?;
    let window = i64::try_from(quota.window.as_nanos()).map_err(StoreError::refused)?;
    let end = now.saturating_add(window);
    // A use that ends still later was counted before the clock was set back.
    let last = end.saturating_add(window);
    let (limit, keep) = (i64::from(quota.limit), micros(quota.window));
    let parameters: [crate::Parameter<'_>; 6] =
        [&Hidden(quota.key), &now, &end, &limit, &keep, &last];
    let rows = store.writes(quota.key).write(ADMIT, &parameters).await?;
    let row = rows.first().ok_or_else(|| StoreError::corrupt("a quota without a row"))?;
    if column(row, 0)? {
        return Ok(Admission::Granted);
    }
    let first: Option<i64> = column(row, 1)?;
    Ok(Admission::Refused { until: DateTime::from_timestamp_nanos(first.unwrap_or(end)) })
}

pub(crate) async fn give_back(
    store: &PostgresStore,
    quota: &Quota<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let parameters: [crate::Parameter<'_>; 2] = [&Hidden(quota.key), &nanos(now)?];
    store.writes(quota.key).write(GIVE_BACK, &parameters).await.map(drop)
}

fn nanos(now: DateTime<Utc>) -> Result<i64, StoreError> {
    now.timestamp_nanos_opt().ok_or_else(|| StoreError::refused("the clock is out of range"))
}
