//! A day and time as remembered by a caller, as a time window. In: words of the request.
//! Out: an instant and a tolerance around it, in the caller's time zone, including daylight saving.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use optag_core::clock::WallTime;

/// Default tolerance. Units: minutes.
pub const TOLERANCE_MIN: i64 = 15;
/// Maximum tolerance. Units: minutes.
pub const TOLERANCE_MOST_MIN: i64 = 12 * 60;

/// A time window, with the given time if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub from: WallTime,
    /// Its end.
    pub to: WallTime,
    /// The given time.
    pub around: Option<WallTime>,
}

/// The window of a day, or of a time on that day, extended by `tolerance_min` on both sides. An hour that
/// occurs twice in the time zone is searched twice, a skipped one from before to after.
///
/// `None`: the day is outside the calendar.
pub fn window(day: Date, time: Option<Time>, zone: &TimeZone, tolerance_min: i64) -> Option<Window> {
    let micros = tolerance_min * 60_000_000;
    let instant = |at: jiff::Timestamp| WallTime::from_timestamp(at);
    let (from, to, around) = match time {
        None => {
            let begin = day.to_zoned_datetime(zone.clone()).ok()?;
            let end = day.tomorrow().ok()?.to_zoned_datetime(zone.clone()).ok()?;
            (instant(begin.timestamp()), instant(end.timestamp()).plus_micros(-1), None)
        }
        Some(time) => {
            let window = zone.to_ambiguous_zoned_datetime(day.to_datetime(time));
            let first = instant(window.clone().earlier().ok()?.timestamp());
            let last = instant(window.later().ok()?.timestamp());
            (first, last, Some(first))
        }
    };
    Some(Window { from: from.plus_micros(-micros), to: to.plus_micros(micros), around })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(day: &str, time: Option<&str>, tolerance_min: i64) -> (String, String) {
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        let time = time.map(|time| time.parse().unwrap());
        let window = window(day.parse().unwrap(), time, &zone, tolerance_min).unwrap();
        (window.from.to_string(), window.to.to_string())
    }

    fn is(window: (String, String), from: &str, to: &str) {
        assert_eq!(window, (from.to_owned(), to.to_owned()));
    }

    #[test]
    fn a_time_of_day_is_the_callers_in_summer_and_in_winter() {
        is(bounds("2026-11-24", Some("14:30"), 15), "2026-11-24T13:15:00Z", "2026-11-24T13:45:00Z");
        is(bounds("2026-07-24", Some("14:30"), 15), "2026-07-24T12:15:00Z", "2026-07-24T12:45:00Z");
        is(bounds("2026-11-24", None, 0), "2026-11-23T23:00:00Z", "2026-11-24T22:59:59.999999Z");
    }

    #[test]
    fn the_hour_that_comes_twice_is_looked_for_twice_and_the_one_that_is_skipped_is_found() {
        is(bounds("2026-10-25", Some("02:30"), 15), "2026-10-25T00:15:00Z", "2026-10-25T01:45:00Z");
        is(bounds("2026-03-29", Some("02:30"), 15), "2026-03-29T00:15:00Z", "2026-03-29T01:45:00Z");
        is(bounds("2026-10-25", None, 0), "2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999999Z");
    }
}
