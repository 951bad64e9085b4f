use super::*;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Any time, not at the start of a second.
const T: i64 = 1_739_718_772_555_123_456;

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn calendar() -> Calendar {
    Calendar::new(vec![minutes(5), minutes(15), minutes(5)], usize::MAX)
}

fn user(name: impl ToString) -> UserId {
    UserId::new(name.to_string()).unwrap()
}

fn id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

/// The leads in minutes of all that is due.
fn due(calendar: &Calendar, now: i64) -> Vec<u64> {
    calendar.due(now, 100).iter().map(|notice| notice.lead.as_secs() / 60).collect()
}

#[test]
fn each_lead_gives_one_notice_when_its_time_has_come() {
    let calendar = calendar();
    let end = T + 2 * HOUR;
    calendar.arrived(&user("alice"), id(1), end, T);
    assert_eq!(due(&calendar, end - 15 * MINUTE - SECOND), [0; 0]);
    let notice = Notice { user: user("alice"), id: id(1), end, lead: minutes(15) };
    assert_eq!(calendar.due(end - 15 * MINUTE, 100), [notice]);
    assert_eq!(due(&calendar, end - 15 * MINUTE), [0; 0]);
    assert_eq!(due(&calendar, end - 5 * MINUTE), [5]);
    assert_eq!(due(&calendar, end - 1), [0; 0]);
    assert_eq!(calendar.len(), 1);
    assert_eq!(due(&calendar, end + SECOND), [0; 0]);
    assert_eq!((calendar.len(), calendar.next_due()), (0, None));
}

#[test]
fn a_known_session_that_arrives_again_gives_no_second_notice() {
    let calendar = calendar();
    let end = T + HOUR;
    calendar.arrived(&user("alice"), id(1), end, T);
    calendar.arrived(&user("alice"), id(1), end, T + MINUTE);
    assert_eq!(due(&calendar, end - 15 * MINUTE), [15]);
    // Not even if the clock was set back meanwhile.
    calendar.arrived(&user("alice"), id(1), end, T);
    assert_eq!(due(&calendar, end - 15 * MINUTE), [0; 0]);
    assert_eq!(due(&calendar, end - 5 * MINUTE), [5]);
}

#[test]
fn a_new_session_takes_the_old_ones_place_at_once() {
    let calendar = calendar();
    calendar.arrived(&user("alice"), id(1), T + 30 * MINUTE, T);
    calendar.arrived(&user("alice"), id(2), T + HOUR, T);
    assert_eq!(calendar.len(), 1);
    let forecast = calendar.forecast(T, 61);
    assert_eq!((forecast[30], forecast[60], forecast.iter().sum::<usize>()), (0, 1, 1));
    assert_eq!(due(&calendar, T + 44 * MINUTE), [0; 0]);
    let notices = calendar.due(T + 45 * MINUTE, 100);
    assert_eq!((notices.len(), notices[0].id), (1, id(2)));
}

#[test]
fn leads_that_are_past_at_arrival_give_no_notice() {
    let calendar = calendar();
    calendar.arrived(&user("alice"), id(1), T + 10 * MINUTE, T);
    calendar.arrived(&user("bob"), id(2), T + 5 * MINUTE, T);
    assert_eq!(due(&calendar, T), [0; 0]);
    assert_eq!(due(&calendar, T + 5 * MINUTE - SECOND), [0; 0]);
    assert_eq!(due(&calendar, T + 5 * MINUTE), [5]);
}

#[test]
fn a_session_that_arrives_after_its_end_only_takes_the_old_ones_place() {
    let calendar = calendar();
    calendar.arrived(&user("alice"), id(1), T + HOUR, T);
    calendar.arrived(&user("alice"), id(2), T, T);
    assert_eq!((calendar.len(), calendar.next_due()), (0, None));
    assert_eq!(calendar.forecast(T - HOUR, 200), [0; 200]);
}

#[test]
fn who_is_gone_gets_no_notice_and_is_in_no_forecast() {
    let calendar = calendar();
    for number in 0..5 {
        calendar.arrived(&user(number), id(number), T + HOUR, T);
    }
    assert_eq!(calendar.gone(&user(3), |gone| gone != id(3)), None);
    assert_eq!(calendar.gone(&user(3), |gone| gone == id(3)), Some((id(3), T + HOUR)));
    calendar.gone(&user("nobody"), |_| true);
    assert_eq!(calendar.forecast(T, 61)[60], 4);
    let mut notified = calendar.due(T + HOUR - 15 * MINUTE, 100);
    notified.sort_by_key(|notice| notice.id);
    let notified: Vec<_> = notified.into_iter().map(|notice| notice.id).collect();
    assert_eq!(notified, [id(0), id(1), id(2), id(4)]);
}

#[test]
fn after_an_absence_only_the_last_lead_gives_a_notice_and_what_has_ended_none() {
    let calendar = calendar();
    calendar.arrived(&user("alice"), id(1), T + HOUR, T);
    calendar.arrived(&user("bob"), id(2), T + 58 * MINUTE, T);
    let notices = calendar.due(T + 58 * MINUTE, 100);
    assert_eq!(notices.len(), 1);
    assert_eq!((&notices[0].user, notices[0].lead), (&user("alice"), minutes(5)));
    assert_eq!(due(&calendar, T + HOUR - 1), [0; 0]);
}

#[test]
fn the_oldest_come_first_and_the_rest_later() {
    let calendar = calendar();
    for number in [7, 2, 9, 4] {
        calendar.arrived(&user(number), id(number), T + HOUR + i64::from(number) * SECOND, T);
    }
    let now = T + HOUR - 10 * MINUTE;
    let ids = |max| calendar.due(now, max).iter().map(|notice| notice.id).collect::<Vec<_>>();
    assert_eq!(ids(0), []);
    assert_eq!(ids(3), [id(2), id(4), id(7)]);
    calendar.gone(&user(9), |_| true);
    assert_eq!(ids(3), []);
}

#[test]
fn what_is_held_comes_due_again_with_the_others() {
    let calendar = calendar();
    let until = T + HOUR - 8 * MINUTE;
    for (number, second) in [(1, 0), (2, 30)] {
        calendar.arrived(&user(number), id(number), T + HOUR + second * SECOND, T);
    }
    for notice in calendar.due(T + HOUR - 14 * MINUTE, 100) {
        calendar.hold(&notice, until);
        // Once is enough.
        calendar.hold(&notice, until + MINUTE);
    }
    assert_eq!(due(&calendar, until - 1), [0; 0]);
    assert_eq!(calendar.next_due(), Some(second_after(until) * SECOND));
    assert_eq!(due(&calendar, until + SECOND), [15, 15]);
    assert_eq!(due(&calendar, T + HOUR), [5]);
}

#[test]
fn what_is_held_for_a_moment_comes_within_the_next_second() {
    let calendar = calendar();
    calendar.arrived(&user("alice"), id(1), T + HOUR, T);
    let now = T + HOUR - 15 * MINUTE;
    let notice = calendar.due(now, 1).remove(0);
    calendar.hold(&notice, now + 1);
    // Else who holds everything until then would go round in circles.
    assert_eq!(calendar.due(now, 1), []);
    assert_eq!(calendar.due(now + SECOND, 1), [notice]);
}

#[test]
fn a_held_notice_goes_with_its_session() {
    let calendar = calendar();
    let end = T + HOUR;
    for name in ["gone", "replaced", "gone before", "replaced before"] {
        calendar.arrived(&user(name), id(1), end, T);
    }
    let (until, now) = (end - 8 * MINUTE, end - 15 * MINUTE);
    for notice in calendar.due(now, 100) {
        match notice.user.as_str() {
            "gone before" => calendar.gone(&notice.user, |_| true),
            // By one whose first lead is past as well.
            "replaced before" => calendar.arrived(&notice.user, id(2), end - MINUTE, now),
            _ => None,
        };
        calendar.hold(&notice, until);
    }
    calendar.gone(&user("gone"), |_| true);
    calendar.arrived(&user("replaced"), id(2), end + HOUR, now);
    assert_eq!(due(&calendar, until + SECOND), [0; 0]);
}

#[test]
fn an_older_notice_does_not_end_the_hold_of_a_newer_one() {
    let calendar = Calendar::new(vec![minutes(15), minutes(10)], usize::MAX);
    let end = T + HOUR;
    calendar.arrived(&user("alice"), id(1), end, T);
    let older = calendar.due(end - 15 * MINUTE, 1).remove(0);
    let newer = calendar.due(end - 10 * MINUTE, 1).remove(0);
    calendar.hold(&newer, end - 5 * MINUTE);
    calendar.hold(&older, end - 11 * MINUTE);
    assert_eq!(calendar.due(end - 6 * MINUTE, 1), []);
    assert_eq!(calendar.due(end - 4 * MINUTE, 1), [newer]);
}

#[test]
fn a_notice_held_past_the_next_lead_or_the_end_is_dropped() {
    let calendar = calendar();
    let end = T + HOUR;
    calendar.arrived(&user("alice"), id(1), end, T);
    let first = calendar.due(end - 15 * MINUTE, 1).remove(0);
    calendar.hold(&first, end - 3 * MINUTE);
    let second = calendar.due(end - 5 * MINUTE, 1).remove(0);
    assert_eq!(second.lead, minutes(5));
    // It has been overtaken.
    calendar.hold(&first, end - 2 * MINUTE);
    assert_eq!(due(&calendar, end - MINUTE), [0; 0]);
    calendar.hold(&second, end);
    assert_eq!(due(&calendar, end - 1), [0; 0]);
    assert_eq!(calendar.next_due(), Some(second_after(end) * SECOND));
}

#[test]
fn the_forecast_counts_from_any_second_on() {
    let calendar = calendar();
    for (number, seconds) in [1, 59, 60, 61, 119, 120, 7200].into_iter().enumerate() {
        calendar.arrived(&user(number), id(1), T + seconds * SECOND, T);
    }
    assert_eq!(calendar.forecast(T, 0), [0; 0]);
    assert_eq!(calendar.forecast(T, 3), [2, 3, 1]);
    assert_eq!(calendar.forecast(T + SECOND, 2), [2, 3]);
    assert_eq!(calendar.forecast(T + 119 * SECOND, 2), [1, 0]);
    assert_eq!(calendar.forecast(T, 121)[120], 1);
    assert_eq!(calendar.forecast(i64::MAX, 1), [0]);
    assert_eq!(calendar.forecast(i64::MIN, 1), [0]);
}

#[test]
fn ends_in_decades_and_leads_of_centuries_break_nothing() {
    let leads = vec![Duration::MAX, Duration::from_secs(3600), Duration::ZERO];
    let calendar = Calendar::new(leads, usize::MAX);
    for (number, end) in [i64::MAX, T + 80 * 365 * 24 * HOUR, T + 1, i64::MIN].iter().enumerate() {
        calendar.arrived(&user(number), id(1), *end, T);
        calendar.arrived(&user(number), id(2), *end, T);
    }
    assert_eq!(calendar.len(), 3);
    assert_eq!(calendar.forecast(T + SECOND, 10_000), [0; 10_000]);
    assert_eq!(calendar.due(T + 79 * 365 * 24 * HOUR, 100), []);
    assert_eq!(calendar.due(T + 80 * 365 * 24 * HOUR - 1, 100).len(), 1);
    let last = calendar.due(i64::MAX - 1, 100).remove(0);
    assert_eq!((last.end, last.lead), (i64::MAX, Duration::from_secs(3600)));
    calendar.hold(&last, i64::MAX);
    calendar.gone(&last.user, |_| true);
    assert_eq!((calendar.len(), calendar.next_due()), (0, None));
}

#[test]
fn past_the_limit_new_users_are_left_out_and_counted() {
    let calendar = Calendar::new(vec![minutes(5)], 2);
    for number in 0..5 {
        calendar.arrived(&user(number), id(1), T + HOUR, T);
    }
    assert_eq!((calendar.len(), calendar.left_out()), (2, 3));
    // Who is in stays in, with the new session.
    calendar.arrived(&user(0), id(2), T + 2 * HOUR, T);
    assert_eq!((calendar.len(), calendar.left_out()), (2, 3));
    assert_eq!(calendar.forecast(T, 121)[120], 1);
    calendar.gone(&user(1), |_| true);
    calendar.arrived(&user(4), id(1), T + HOUR, T);
    assert_eq!((calendar.len(), calendar.left_out()), (2, 3));
}

#[test]
fn what_is_not_due_is_not_looked_at() {
    let calendar = calendar();
    for number in 0..100_000 {
        let end = T + HOUR + number % 3600 * SECOND;
        calendar.arrived(&user(number), id(1), end, T);
    }
    assert_eq!(calendar.due(T, 1000), []);
    assert_eq!(calendar.due(T + 44 * MINUTE, 1000), []);
    assert_eq!(calendar.0.lock().looks, 0);
    // One second's worth.
    assert_eq!(calendar.due(T + 45 * MINUTE, 1000).len(), 100_000_usize.div_ceil(3600));
    assert_eq!(calendar.0.lock().looks, 100_000_usize.div_ceil(3600));
}

#[test]
fn the_forecast_looks_at_seconds_and_not_at_sessions() {
    let calendar = calendar();
    for number in 0..100_000 {
        let end = T + MINUTE + number % 7200 * SECOND;
        calendar.arrived(&user(number), id(1), end, T);
    }
    assert_eq!(calendar.forecast(T, 200).iter().sum::<usize>(), 100_000);
    assert_eq!(std::mem::take(&mut calendar.0.lock().looks), 7200);
    calendar.forecast(T + 10 * MINUTE, 10);
    assert!(calendar.0.lock().looks <= 10 * 60);
}

#[test]
fn a_million_logins_of_ten_users_leave_ten_sessions() {
    let calendar = calendar();
    let users: Vec<UserId> = (0..10).map(user).collect();
    for login in 0..1_000_000_u32 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&login.to_le_bytes());
        let now = T + i64::from(login) * SECOND / 100;
        calendar.arrived(
            &users[login as usize % 10],
            SessionId::from_bytes(bytes),
            now + 2 * HOUR,
            now,
        );
    }
    let state = calendar.0.lock();
    assert_eq!(state.roster.len(), 10);
    assert!(state.roster.capacity() < 50);
    assert!(state.agenda.seconds() <= 10 && state.ending.len() <= 10);
}
