use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use moojo_session::{Admission, Challenge, ChallengeStore, Quota, Revision, StoreError, UserId};

use crate::error::Failure;
use crate::request::{Request, bytes, yes_or_no};
use crate::store::RedisStore;
use crate::{millis, record, script};

#[async_trait]
impl ChallengeStore for RedisStore {
    async fn load(&self, user: &UserId) -> Result<Option<Challenge>, StoreError> {
        match bytes(self.client().get(self.keys().challenge(user)).await?)? {
            Some(record) => record::challenge(&record, user).map(Some),
            None => Ok(None),
        }
    }

    async fn swap(
        &self,
        expected: Option<Revision>,
        next: &Challenge,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let life = millis::left(next.lapses_at(), now).unwrap_or(1);
        let request = Request::script(&script::SWAP, self.keys().challenge(next.user()))
            .arg(expected.map_or_else(String::new, record::revision_text))
            .secret(record::of_challenge(next)?)
            .arg(life.to_string());
        Ok(yes_or_no(&self.client().call(request).await?)?)
    }

    async fn remove(&self, user: &UserId, expected: Revision) -> Result<bool, StoreError> {
        let request = Request::script(&script::REMOVE_CHALLENGE, self.keys().challenge(user))
            .arg(record::revision_text(expected));
        Ok(yes_or_no(&self.client().call(request).await?)?)
    }

    async fn admit(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<Admission, StoreError> {
        let window = TimeDelta::from_std(quota.window).map_err(StoreError::refused)?;
        let end = now.checked_add_signed(window).unwrap_or(DateTime::<Utc>::MAX_UTC);
        // A use that ends still later was counted before the clock was set back.
        let last = end.checked_add_signed(window).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let request = Request::script(&script::ADMIT, self.keys().quota(quota.key))
            .arg(time_text(now))
            .arg(time_text(end))
            .arg(quota.limit.to_string())
            .arg(millis::of(quota.window).to_string())
            .arg(format!("{:016x}", fastrand::u64(..)))
            .arg(time_text(last));
        match bytes(self.client().call(request).await?)? {
            None => Ok(Admission::Granted),
            Some(first) => Ok(Admission::Refused { until: read_time(&first)? }),
        }
    }

    async fn give_back(&self, quota: &Quota<'_>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let request =
            Request::script(&script::GIVE_BACK, self.keys().quota(quota.key)).arg(time_text(now));
        yes_or_no(&self.client().call(request).await?)?;
        Ok(())
    }
}

const TIME_DIGITS: usize = 20;

/// A time as 20 digits, which sort as the time does: nanoseconds since the earliest that there is,
/// in 1677. Redis' own numbers would round them.
fn time_text(time: DateTime<Utc>) -> String {
    let earliest = DateTime::<Utc>::from_timestamp_nanos(i64::MIN);
    let nanos = match time.timestamp_nanos_opt() {
        Some(nanos) => nanos,
        None if time < earliest => i64::MIN,
        None => i64::MAX,
    };
    format!("{:020}", nanos.abs_diff(i64::MIN))
}

fn read_time(text: &[u8]) -> Result<DateTime<Utc>, Failure> {
    let digits = text.get(..TIME_DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
    let nanos: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(Failure::Answer)?;
    Ok(DateTime::from_timestamp_nanos(i64::MIN.wrapping_add_unsigned(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_text_and_come_back() {
        let texts = [
            "1677-09-21T00:12:43.145224193Z",
            "1969-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "2025-02-16T15:12:52.555123456Z",
            "2262-04-11T23:47:16Z",
        ];
        let times = texts.map(|text| text.parse::<DateTime<Utc>>().unwrap());
        let written = times.map(time_text);
        assert!(written.is_sorted());
        for (time, text) in times.iter().zip(&written) {
            assert_eq!(text.len(), TIME_DIGITS);
            assert_eq!(read_time(text.as_bytes()).unwrap(), *time);
        }
        assert!(time_text(DateTime::<Utc>::MIN_UTC) < written[0]);
        assert!(time_text(DateTime::<Utc>::MAX_UTC) > written[4]);
    }
}
