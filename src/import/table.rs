//! The table of recordings to import. In: CSV. Out: checked rows, or why a row is rejected. Anything unclear is
//! rejected: above all, a row whose consent is not a plain yes.
//!
//! Source: RFC 4180; a semicolon or a tab as separator, and a byte order mark, are accepted too.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use optag_core::call::text::is_plain;
use optag_core::clock::WallTime;
use optag_core::limit;
use optag_core::private::Private;

/// Values of the column `consent` that count as yes, in lower case.
pub const YES: [&str; 7] = ["yes", "y", "ja", "true", "1", "granted", "given"];
/// Required columns.
const REQUIRED: [&str; 5] = ["file", "started_at", "department", "caller_number", "consent"];
/// Optional columns.
const OPTIONAL: [&str; 4] = ["called_number", "caller_name", "external_id", "consent_at"];
/// Maximum number of rows.
const ROWS: usize = 1_000_000;

/// A recording to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its file, below the directory.
    pub file: PathBuf,
    /// When the call began.
    pub started_at: WallTime,
    /// When consent was given; the start of the call if the table does not say.
    pub consent_at: WallTime,
    /// Department id.
    pub department: String,
    /// Number called from.
    pub caller_number: Private<String>,
    /// Number called.
    pub called_number: Private<String>,
    /// The caller's name.
    pub caller_name: Option<Private<String>>,
    /// The earlier system's identifier of the call.
    pub external_id: Option<Private<String>>,
}

/// Why a row is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The column `consent` does not say yes.
    #[error("consent is not a plain yes")]
    NoConsent,
    /// More or fewer fields than the table has columns: a separator in a text without quotes, or a quote that is not
    /// closed.
    #[error("{count} fields, and the table has {head} columns: is a text with a separator in quotes?")]
    Columns {
        /// Number of fields.
        count: usize,
        /// Number of columns.
        head: usize,
    },
    /// A field is missing or invalid.
    #[error("`{column}` is not {expected}")]
    Field {
        /// Column.
        column: &'static str,
        /// Expected content.
        expected: &'static str,
    },
}

/// Why a table is rejected.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Invalid CSV.
    #[error("line {line} is not CSV: {reason}")]
    Form {
        /// Line number, from 1.
        line: u64,
        /// Reason.
        reason: String,
    },
    /// A column is missing, duplicate or unknown.
    #[error("{0}")]
    Columns(String),
    /// Too many rows.
    #[error("table exceeds {ROWS} rows; split it")]
    TooLong,
}

/// A line of the table: the file name, and the row or why it is rejected.
pub type Line = (String, Result<Row, RowError>);

/// Parses a table. Times without an offset are in `zone`; without a zone they are rejected.
///
/// Errors: see [`TableError`]; an invalid row is an item of the result.
pub fn read(text: &str, zone: Option<&jiff::tz::TimeZone>) -> Result<Vec<Line>, TableError> {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|&one| head.bytes().filter(|&byte| byte == one).count())
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(text.as_bytes());
    let form = |error: csv::Error| TableError::Form {
        line: error.position().map_or(0, csv::Position::line),
        reason: error.to_string(),
    };
    let columns = columns(reader.headers().map_err(form)?)?;
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(form)?;
        if lines.len() >= ROWS {
            return Err(TableError::TooLong);
        }
        let field = |name: &str| columns.get(name).and_then(|&at| record.get(at)).unwrap_or_default();
        let row = match record.len() {
            count if count == columns.len() => row(&field, zone),
            count => Err(RowError::Columns { count, head: columns.len() }),
        };
        lines.push((field("file").to_owned(), row));
    }
    Ok(lines)
}

fn columns(head: &csv::StringRecord) -> Result<HashMap<String, usize>, TableError> {
    let mut columns = HashMap::new();
    for (at, name) in head.iter().enumerate() {
        let name = name.to_ascii_lowercase();
        if !REQUIRED.contains(&name.as_str()) && !OPTIONAL.contains(&name.as_str()) {
            let all = [&REQUIRED[..], &OPTIONAL[..]].concat().join(", ");
            return Err(TableError::Columns(format!("unknown column `{name}`; the columns are {all}")));
        }
        if columns.insert(name.clone(), at).is_some() {
            return Err(TableError::Columns(format!("duplicate column `{name}`")));
        }
    }
    match REQUIRED.iter().find(|name| !columns.contains_key(**name)) {
        Some(missing) => Err(TableError::Columns(format!("missing column `{missing}`"))),
        None => Ok(columns),
    }
}

fn row<'a>(field: &impl Fn(&str) -> &'a str, zone: Option<&jiff::tz::TimeZone>) -> Result<Row, RowError> {
    if !YES.contains(&field("consent").to_lowercase().as_str()) {
        return Err(RowError::NoConsent);
    }
    let wrong = |column, expected| RowError::Field { column, expected };
    let file = Path::new(field("file"));
    // `find` begins its paths with `./`.
    let file = file.strip_prefix(".").unwrap_or(file);
    let inside = file.components().all(|part| matches!(part, Component::Normal(_)));
    if file.as_os_str().is_empty() || !inside {
        return Err(wrong("file", "a path below the directory"));
    }
    let clock = "a time such as 2026-11-24T10:00:00+01:00 (without an offset: with --time-zone)";
    let started_at = time(field("started_at"), zone).ok_or(wrong("started_at", clock))?;
    let consent_at = match field("consent_at") {
        "" => started_at,
        text => time(text, zone).ok_or(wrong("consent_at", clock))?,
    };
    let number = |text: &str| {
        text.chars().count() <= limit::NUMBER_CHARS && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
    };
    let plain = |text: &str| text.chars().count() <= limit::TEXT_CHARS && is_plain(text);
    if !number(field("caller_number")) {
        return Err(wrong("caller_number", "a number of at most 32 characters"));
    }
    if !number(field("called_number")) {
        return Err(wrong("called_number", "a number of at most 32 characters"));
    }
    if !plain(field("caller_name")) {
        return Err(wrong("caller_name", "a text of at most 200 characters"));
    }
    if !plain(field("external_id")) {
        return Err(wrong("external_id", "a text of at most 200 characters"));
    }
    let some = |text: &str| (!text.is_empty()).then(|| Private::new(text.to_owned()));
    Ok(Row {
        file: file.to_owned(),
        started_at,
        consent_at,
        department: field("department").to_owned(),
        caller_number: Private::new(field("caller_number").to_owned()),
        called_number: Private::new(field("called_number").to_owned()),
        caller_name: some(field("caller_name")),
        external_id: some(field("external_id")),
    })
}

fn time(text: &str, zone: Option<&jiff::tz::TimeZone>) -> Option<WallTime> {
    if let Ok(exact) = text.parse::<jiff::Timestamp>() {
        return Some(WallTime::from_timestamp(exact));
    }
    let local: jiff::civil::DateTime = text.parse().ok().filter(|_| text.len() > 10)?;
    Some(WallTime::from_timestamp(zone?.to_timestamp(local).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "file,started_at,department,caller_number,consent,caller_name\n";

    fn one(line: &str) -> Result<Row, RowError> {
        read(&format!("{HEAD}{line}\n"), None).unwrap().remove(0).1
    }

    #[test]
    fn a_row_is_read_with_every_field() {
        let row = one("a/b.wav,2026-11-24T10:00:00Z,demo,+45 12 34 56 78,Ja,\"Blixen, Karen\"").unwrap();
        assert_eq!(row.file, Path::new("a/b.wav"));
        assert_eq!(row.started_at.to_string(), "2026-11-24T10:00:00Z");
        assert_eq!(row.consent_at, row.started_at);
        assert_eq!(row.caller_name.unwrap().reveal(), "Blixen, Karen");
    }

    #[test]
    fn what_a_spreadsheet_writes_is_read() {
        let text = "\u{feff}File;Started_at;Department;Caller_number;Consent\r\nx.mp3;2026-11-24 10:00;demo;12345678;ja\r\n";
        let copenhagen = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
        let row = read(text, Some(&copenhagen)).unwrap().remove(0).1.unwrap();
        assert_eq!(row.started_at.to_string(), "2026-11-24T09:00:00Z");
        assert!(matches!(
            read(text, None).unwrap().remove(0).1,
            Err(RowError::Field { column: "started_at", .. })
        ));
    }

    #[test]
    fn a_text_that_is_not_shown_as_it_stands_is_not_taken() {
        for name in ["Bo\u{202e}oB", "Bo\u{1b}[2J", "B\u{200b}o"] {
            let row = one(&format!("a.wav,2026-11-24T10:00:00Z,demo,+4512345678,yes,{name}"));
            assert!(matches!(row, Err(RowError::Field { column: "caller_name", .. })), "{name:?}");
        }
    }

    #[test]
    fn anything_but_a_plain_yes_is_no_consent() {
        for consent in ["", "no", "nej", "0", "unknown", "yes?", "pending"] {
            let line = format!("a.wav,2026-11-24T10:00:00Z,demo,1,{consent},");
            assert_eq!(one(&line), Err(RowError::NoConsent), "{consent}");
        }
    }

    #[test]
    fn a_file_outside_the_directory_is_not_taken() {
        for file in ["../a.wav", "/etc/passwd", "a/../../b.wav", ""] {
            let line = format!("{file},2026-11-24T10:00:00Z,demo,1,yes,");
            assert!(matches!(one(&line), Err(RowError::Field { column: "file", .. })), "{file}");
        }
    }

    #[test]
    fn a_table_with_other_columns_is_refused_as_a_whole() {
        let reason = |text: &str| read(text, None).unwrap_err().to_string();
        assert!(reason("file,consent\n").contains("missing column `started_at`"));
        assert!(reason(&format!("{},colour\n", HEAD.trim())).contains("`colour`"));
        assert!(reason(&format!("{},file\n", HEAD.trim())).contains("duplicate"));
    }

    #[test]
    fn a_line_with_other_fields_than_the_table_fails_alone() {
        let lines = [
            "a.wav,2026-11-24T10:00:00Z,demo,1,yes,Hansen, Per",
            "b.wav,now",
            "./c/d.wav,2026-11-24T10:00:00Z,demo,1,yes,\"Hansen, Per\"",
        ];
        let lines = read(&format!("{HEAD}{}\n", lines.join("\n")), None).unwrap();
        let counts = lines.iter().map(|(_, row)| match row {
            Err(RowError::Columns { count, head: 6 }) => *count,
            row => usize::from(row.is_err()),
        });
        assert_eq!(counts.collect::<Vec<_>>(), [7, 2, 0]);
        assert_eq!(lines[2].1.as_ref().unwrap().file, Path::new("c/d.wav"));
    }
}
