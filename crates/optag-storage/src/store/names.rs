//! Names of objects. They contain a date and an id and no personal data: what erasure, expiry and the rebuilding of
//! an index need in clear.

use std::sync::Arc;

use jiff::civil::Date;

use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::id::CallId;

/// Prefix of all recordings; our lifecycle rule covers it alone.
pub const PREFIX: &str = "recordings/";

/// Copies of the day keys, if kept in the store.
pub const KEYS_PREFIX: &str = "recordings/keys/";

/// Copies of the deletion log and audit checkpoints; not covered by our lifecycle rule.
pub const ANCHORS_PREFIX: &str = "anchors/";

/// Objects for testing the store.
pub const PROBE_PREFIX: &str = "recordings/probe/";

/// Kind of a recording's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Ogg Opus.
    Audio,
    /// Manifest.
    Manifest,
}

/// `recordings/<yyyy>/<mm>/<dd>/<id>.opus` or `.json`, by the start of the call in UTC, with the suffix `.age` if
/// sealed.
pub fn name(id: CallId, started_at: WallTime, kind: Kind, sealed: bool) -> String {
    let date = day(started_at);
    let form = match kind {
        Kind::Audio => "opus",
        Kind::Manifest => "json",
    };
    let end = if sealed { ".age" } else { "" };
    format!("{PREFIX}{:04}/{:02}/{:02}/{id}.{form}{end}", date.year(), date.month(), date.day())
}

/// Every name that an object of a recording may have.
pub fn names(id: CallId, started_at: WallTime) -> [String; 4] {
    let kinds = [(Kind::Audio, true), (Kind::Manifest, true), (Kind::Audio, false), (Kind::Manifest, false)];
    kinds.map(|(kind, sealed)| name(id, started_at, kind, sealed))
}

/// Common prefix of all names of a recording's objects.
pub fn stem(id: CallId) -> String {
    let date = day(id.admitted_at());
    format!("{PREFIX}{:04}/{:02}/{:02}/{id}", date.year(), date.month(), date.day())
}

/// The id and the day in a name; `None` for foreign names.
pub fn parse(key: &str) -> Option<(CallId, Date)> {
    let mut parts = key.strip_prefix(PREFIX)?.split('/');
    let (year, month, day, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    let (id, _) = file.split_once('.')?;
    parts.next().is_none().then_some((id.parse().ok()?, date))
}

/// The kind of an object, and whether it is sealed; `None` for foreign names.
pub fn kind(key: &str) -> Option<(Kind, bool)> {
    parse(key)?;
    let (key, sealed) = key.strip_suffix(".age").map_or((key, false), |key| (key, true));
    match key.rsplit_once('.')?.1 {
        "opus" => Some((Kind::Audio, sealed)),
        "json" => Some((Kind::Manifest, sealed)),
        _ => None,
    }
}

/// Whether a name belongs to another of our objects: a copy of a key, a probe.
pub fn is_ours(key: &str) -> bool {
    key.starts_with(KEYS_PREFIX) || key.starts_with(PROBE_PREFIX)
}

/// The UTC day of a time: a recording is stored under the day of its call and sealed for it.
pub fn day(at: WallTime) -> Date {
    jiff::tz::Offset::UTC.to_datetime(at.timestamp()).date()
}

/// A random name for a store whose installation is unknown.
pub(crate) fn random_probe() -> Arc<str> {
    let mut random = [0; 8];
    // Without randomness the name is shared with other such stores, and their tests disturb each other.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("{PROBE_PREFIX}{}", hex(&random)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_day_and_id_and_what_it_is() {
        let at = WallTime::from_unix_micros(1_732_442_400_000_000);
        let id = CallId::new_at(at);
        let key = name(id, at, Kind::Audio, true);
        assert_eq!(key, format!("recordings/2024/11/24/{id}.opus.age"));
        assert!(key.starts_with(&stem(id)));
        assert_eq!(parse(&key), Some((id, jiff::civil::date(2024, 11, 24))));
        for (kind, sealed) in [(Kind::Audio, false), (Kind::Manifest, true), (Kind::Manifest, false)] {
            let key = name(id, at, kind, sealed);
            assert_eq!(
                (parse(&key).map(|(id, _)| id), crate::store::names::kind(&key)),
                (Some(id), Some((kind, sealed)))
            );
            assert!(names(id, at).contains(&key));
        }
        assert_eq!(parse("recordings/2024/13/24/x.opus"), None);
        assert_eq!(parse("backups/2024/11/24/x.opus"), None);
        assert_eq!(parse(&format!("{KEYS_PREFIX}2024-11-24-abc.key")), None);
    }
}
