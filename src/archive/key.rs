//! Names of objects. They carry a date and an id, nothing personal.

use crate::base::clock::WallTime;
use crate::base::id::CallId;

/// Everything that we store lies under this prefix, and our lifecycle rule is for it alone.
pub const PREFIX: &str = "recordings/";

/// `recordings/<yyyy>/<mm>/<dd>/<id>.opus`, by the start of the call in UTC.
pub fn audio(id: CallId, started_at: WallTime) -> String {
    format!("{}{id}.opus", day(started_at))
}

/// The manifest beside the audio.
pub fn manifest(id: CallId, started_at: WallTime) -> String {
    format!("{}{id}.json", day(started_at))
}

/// How every name of a recording's objects begins, whatever follows its id.
pub fn stem(id: CallId) -> String {
    format!("{}{id}", day(id.admitted_at()))
}

/// The id and the day in a key of ours: `None` for a key that we did not make.
pub fn parse(key: &str) -> Option<(CallId, jiff::civil::Date)> {
    let mut parts = key.strip_prefix(PREFIX)?.split('/');
    let (year, month, day, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let date = jiff::civil::Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    let (id, _) = file.split_once('.')?;
    parts.next().is_none().then_some((id.parse().ok()?, date))
}

fn day(at: WallTime) -> String {
    let date = jiff::tz::Offset::UTC.to_datetime(at.timestamp()).date();
    format!("{PREFIX}{:04}/{:02}/{:02}/", date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_day_and_id() {
        let at = WallTime::from_unix_micros(1_732_442_400_000_000);
        let id = CallId::new_at(at);
        let key = audio(id, at);
        assert_eq!(key, format!("recordings/2024/11/24/{id}.opus"));
        assert!(key.starts_with(&stem(id)));
        assert_eq!(parse(&key), Some((id, jiff::civil::date(2024, 11, 24))));
        assert_eq!(parse(&manifest(id, at)).map(|(id, _)| id), Some(id));
        assert_eq!(parse("recordings/2024/13/24/x.opus"), None);
        assert_eq!(parse("backups/2024/11/24/x.opus"), None);
    }
}
