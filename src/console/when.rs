//! Times of pages: local to the installation, written as the reader's language does.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::disclosure::sheet::Language;

/// A time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The zone of this name; UTC where it is none.
    pub(super) fn of(name: &str) -> Self {
        Self(TimeZone::get(name).unwrap_or(TimeZone::UTC))
    }

    /// The day of an instant.
    pub(super) fn day(&self, at: Timestamp) -> Date {
        at.to_zoned_datetime(self.0.clone()).date()
    }

    /// The first instant of a day; `None` outside of the calendar.
    pub(super) fn begin(&self, day: Date) -> Option<Timestamp> {
        Some(day.to_zoned_datetime(self.0.clone()).ok()?.timestamp())
    }

    /// A time with its day, to the second.
    pub(super) fn time(&self, language: Language, at: Timestamp) -> Markup {
        html! { time datetime=(at.to_string()) { (self.text(language, at)) } }
    }

    /// The same as text.
    pub(super) fn text(&self, language: Language, at: Timestamp) -> String {
        let at = at.to_zoned_datetime(self.0.clone());
        match language {
            Language::Danish => at.strftime("%d.%m.%Y kl. %H.%M.%S").to_string(),
            Language::English => at.strftime("%-d %b %Y, %H:%M:%S").to_string(),
        }
    }
}

/// A day.
pub(super) fn date(language: Language, day: Date) -> String {
    match language {
        Language::Danish => day.strftime("%d.%m.%Y").to_string(),
        Language::English => day.strftime("%-d %b %Y").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_and_written_as_the_language_does() {
        let (zone, at) = (Zone::of("Europe/Copenhagen"), "2026-07-24T22:30:05Z".parse().unwrap());
        assert_eq!(zone.text(Language::Danish, at), "25.07.2026 kl. 00.30.05");
        assert_eq!(zone.text(Language::English, at), "25 Jul 2026, 00:30:05");
        assert_eq!(zone.day(at).to_string(), "2026-07-25");
        let begins = |day: &str| zone.begin(day.parse().unwrap()).unwrap().to_string();
        assert_eq!(begins("2026-10-26"), "2026-10-25T23:00:00Z");
        assert_eq!(date(Language::Danish, "2026-07-05".parse().unwrap()), "05.07.2026");
    }
}
