//! The time within which a request must be answered. Pure. In: the day of receipt. Out: the last day.
//!
//! Source: GDPR Article 12 (3): one month from receipt; two further months where necessary, if the person is told within
//! the first one, with the reason. Regulation (EEC, Euratom) No 1182/71 Article 3 (1), (2) (c): the day of receipt is not
//! counted, and a month ends with the day of the same number, or with the month's last day where it has none. Its
//! Article 3 (4) gives a period that would end on a holiday, a Saturday or a Sunday until the next working day; that is
//! not used here, so a case is never shown as later than it is.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use optag_core::clock::WallTime;

/// The time limit. Units: months.
pub const MONTHS: i64 = 1;
/// By how much it may be extended. Units: months.
pub const FURTHER_MONTHS: i64 = 2;
/// How long ago a request may have been received when its case is opened. Units: days.
pub const RECEIVED_DAYS: i64 = 366;

/// The last day for a request received on a day.
///
/// `None`: beyond the calendar.
pub fn due_on(received: Date, extended: bool) -> Option<Date> {
    let months = if extended { MONTHS + FURTHER_MONTHS } else { MONTHS };
    received.checked_add(months.months()).ok()
}

/// The end of a day: its last microsecond.
///
/// `None`: beyond the calendar.
pub fn end_of(day: Date, zone: &TimeZone) -> Option<WallTime> {
    let next = day.tomorrow().ok()?.to_zoned_datetime(zone.clone()).ok()?;
    Some(WallTime::from_timestamp(next.timestamp()).plus_micros(-1))
}

/// The day of an instant.
pub fn day_of(at: WallTime, zone: &TimeZone) -> Date {
    at.timestamp().to_zoned_datetime(zone.clone()).date()
}

/// Days from one day to another; negative if it is before.
pub fn days_until(due: Date, today: Date) -> i64 {
    due.since(today).map_or(0, |span| i64::from(span.get_days()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(received: &str, extended: bool) -> String {
        due_on(received.parse().unwrap(), extended).unwrap().to_string()
    }

    #[test]
    fn a_month_ends_with_the_day_of_the_same_number_or_the_last_of_the_month() {
        assert_eq!(due("2026-11-24", false), "2026-12-24");
        assert_eq!(due("2026-01-31", false), "2026-02-28");
        assert_eq!(due("2028-01-31", false), "2028-02-29");
        assert_eq!(due("2026-12-31", false), "2027-01-31");
    }

    #[test]
    fn two_further_months_are_counted_from_receipt() {
        assert_eq!(due("2026-11-24", true), "2027-02-24");
        // Not from the last of the shorter month.
        assert_eq!(due("2026-01-31", true), "2026-04-30");
    }

    #[test]
    fn a_day_ends_at_the_callers_midnight_in_summer_and_in_winter() {
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        let end = |day: &str| end_of(day.parse().unwrap(), &zone).unwrap().to_string();
        assert_eq!(end("2026-12-24"), "2026-12-24T22:59:59.999999Z");
        assert_eq!(end("2026-07-24"), "2026-07-24T21:59:59.999999Z");
        let at: WallTime = end_of("2026-07-24".parse().unwrap(), &zone).unwrap();
        assert_eq!(day_of(at, &zone).to_string(), "2026-07-24");
        assert_eq!(day_of(at.plus_micros(1), &zone).to_string(), "2026-07-25");
    }

    #[test]
    fn days_left_are_negative_once_the_time_is_over() {
        let days = |due: &str, today: &str| days_until(due.parse().unwrap(), today.parse().unwrap());
        assert_eq!(days("2026-12-24", "2026-11-24"), 30);
        assert_eq!(days("2026-12-24", "2026-12-24"), 0);
        assert_eq!(days("2026-12-24", "2027-01-24"), -31);
    }
}
