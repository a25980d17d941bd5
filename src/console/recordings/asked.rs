//! What a search asks for. In: the page's address. Out: a query of the API, in its own terms: instants, a number and a
//! name apart.

use jiff::civil::Date;
use serde::Deserialize;

use crate::console::ask::address;
use crate::console::when::Zone;

/// Fewest digits that are taken for a number where letters stand beside them.
const DIGITS: usize = 3;

/// The page's address, as given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Given {
    /// Number, name, or both.
    pub q: String,
    /// A department's id.
    pub department: String,
    /// First day.
    pub from: String,
    /// Last day, included.
    pub to: String,
    /// What for.
    pub purpose: String,
    /// Where the page begins.
    pub after: String,
}

impl Given {
    /// The same search with some fields changed.
    pub(super) fn address(&self, changed: &[(&str, &str)]) -> String {
        let all = [
            ("q", self.q.as_str()),
            ("department", &self.department),
            ("from", &self.from),
            ("to", &self.to),
            ("purpose", &self.purpose),
            ("after", &self.after),
        ];
        let new = |name: &str| changed.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
        address("/recordings", &all.map(|(name, value)| (name, new(name).unwrap_or(value))))
    }
}

/// Which fields are wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The first day is none.
    pub from: bool,
    /// The last day is none.
    pub to: bool,
    /// The last day is before the first.
    pub order: bool,
}

/// A query of the API.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The number.
    pub number: String,
    /// The name.
    pub name: String,
    /// The department's id.
    pub department: String,
    /// The first instant.
    pub from: String,
    /// The first instant that is too late.
    pub to: String,
    /// What for.
    pub purpose: String,
    /// Where the page begins.
    pub after: String,
}

impl Asked {
    /// Reads what is asked for. Without a purpose it is the first that may be stated.
    ///
    /// Errors: the fields that are wrong.
    pub(super) fn of(given: &Given, zone: &Zone, purposes: &[&str]) -> Result<Self, Wrong> {
        let day = |text: &str| -> Result<Option<Date>, ()> {
            if text.trim().is_empty() { Ok(None) } else { text.trim().parse().map(Some).map_err(drop) }
        };
        let (from, to) = (day(&given.from), day(&given.to));
        let mut wrong = Wrong { from: from.is_err(), to: to.is_err(), order: false };
        let (from, to) = (from.ok().flatten(), to.ok().flatten());
        wrong.order = from.zip(to).is_some_and(|(from, to)| to < from);
        // The last day is whole: the search ends where the next one begins, whatever a day's length is there.
        let end = to.and_then(|to| to.tomorrow().ok());
        wrong.to |= to.is_some() && end.is_none();
        if wrong != Wrong::default() {
            return Err(wrong);
        }
        let instant = |day: Option<Date>| {
            day.and_then(|day| zone.begin(day)).map_or_else(String::new, |at| at.to_string())
        };
        let (number, name) = apart(&given.q);
        let purpose = match given.purpose.as_str() {
            "" => purposes.first().copied().unwrap_or_default(),
            stated => stated,
        };
        Ok(Self {
            number,
            name,
            department: given.department.clone(),
            from: instant(from),
            to: instant(end),
            purpose: purpose.to_owned(),
            after: given.after.clone(),
        })
    }

    /// As parameters, empty where nothing is asked for.
    pub(super) fn query(&self) -> Vec<(&str, &str)> {
        vec![
            ("number", self.number.as_str()),
            ("name", &self.name),
            ("department", &self.department),
            ("from", &self.from),
            ("to", &self.to),
            ("purpose", &self.purpose),
            ("after", &self.after),
        ]
    }
}

/// A number and a name out of one text, in any order: `12 34 56 78`, `Hansen`, `hansen +45 5678`.
fn apart(text: &str) -> (String, String) {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let is_part = |word: &&str| {
        word.chars().any(|c| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || "+-()./".contains(c))
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let numbers: Vec<&str> = words.iter().copied().filter(is_part).collect();
    let names: Vec<&str> = words.iter().copied().filter(|word| !is_part(word)).collect();
    let digits = numbers.iter().flat_map(|word| word.chars()).filter(char::is_ascii_digit).count();
    if !names.is_empty() && digits < DIGITS {
        return (String::new(), words.join(" "));
    }
    (numbers.join(" "), names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_told_apart_in_any_order() {
        for (text, number, name) in [
            ("12 34 56 78", "12 34 56 78", ""),
            (" +45 12345678 ", "+45 12345678", ""),
            ("5678", "5678", ""),
            ("Karen  Blixen", "", "Karen Blixen"),
            ("hansen 5678", "5678", "hansen"),
            ("(12) 345-678 Åge", "(12) 345-678", "Åge"),
            ("Frederik 9", "", "Frederik 9"),
            ("", "", ""),
        ] {
            assert_eq!(apart(text), (number.to_owned(), name.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_last_day_is_included_and_days_are_those_of_the_installation() {
        let zone = Zone::of("Europe/Copenhagen");
        let days = |from: &str, to: &str| {
            let given = Given { from: from.into(), to: to.into(), ..Given::default() };
            Asked::of(&given, &zone, &["training"])
        };
        let asked = days("2026-11-24", "2026-11-24").unwrap();
        assert_eq!(
            (asked.from.as_str(), asked.to.as_str()),
            ("2026-11-23T23:00:00Z", "2026-11-24T23:00:00Z")
        );
        // A day of 25 hours.
        let asked = days("2026-10-25", "2026-10-25").unwrap();
        assert_eq!(
            (asked.from.as_str(), asked.to.as_str()),
            ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z")
        );
        assert_eq!(asked.purpose, "training");
        assert!(days("", "").unwrap().from.is_empty());
        assert_eq!(days("2026-02-30", ""), Err(Wrong { from: true, ..Wrong::default() }));
        assert_eq!(days("2026-11-24", "2026-11-23"), Err(Wrong { order: true, ..Wrong::default() }));
        assert_eq!(days("", "9999-12-31"), Err(Wrong { to: true, ..Wrong::default() }));
    }

    #[test]
    fn an_address_keeps_the_search_and_changes_what_it_must() {
        let given = Given { q: "Å & B".into(), after: "1.x".into(), ..Given::default() };
        assert_eq!(given.address(&[("after", "")]), "/recordings?q=%C3%85+%26+B");
        assert_eq!(
            given.address(&[("from", "2026-11-01")]),
            "/recordings?q=%C3%85+%26+B&from=2026-11-01&after=1.x"
        );
    }
}
