//! The PBX's call detail records. In: a CSV file with a header line, and the meaning of its columns. Out: rows.
//! Unreadable rows are counted, never guessed.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use optag_core::clock::WallTime;
use optag_core::private::Private;

/// Maximum number of rows read from one file, readable or not: more than any switch produces in a day.
const ROWS: usize = if cfg!(test) { 1_000 } else { 5_000_000 };

/// Meaning of the columns, by their names in the header line, case-insensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CdrColumns {
    /// When the call began. Required.
    pub start: String,
    /// Number called from.
    pub caller: Option<String>,
    /// Number called.
    pub called: Option<String>,
    /// Identifiers of the call: Call-ID, UCID and the like.
    pub ids: Vec<String>,
    /// Only rows with this value in this column are calls that should have been signalled.
    pub only: Option<(String, String)>,
}

/// A call in the PBX's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CdrRow {
    /// Its line in the file, from 1.
    pub line: u64,
    /// When it began.
    pub start: WallTime,
    /// Number called from.
    pub caller: Option<Private<String>>,
    /// Number called.
    pub called: Option<Private<String>>,
    /// Its identifiers.
    pub ids: Vec<Private<String>>,
}

/// Contents of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cdrs {
    /// Calls.
    pub rows: Vec<CdrRow>,
    /// Lines whose time could not be parsed.
    pub unreadable: Vec<u64>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CdrError {
    /// Invalid CSV.
    #[error("line {line}: {why}")]
    Csv {
        /// Line number.
        line: u64,
        /// The problem.
        why: String,
    },
    /// A named column is missing.
    #[error("no column `{wanted}`; columns: {there}")]
    NoColumn {
        /// The missing name.
        wanted: String,
        /// The names in the header line.
        there: String,
    },
    /// More rows than are ever compared.
    #[error("more than {ROWS} rows")]
    TooLong,
}

/// Summary of the comparison with the PBX's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// Rows of the file that belong to the day.
    pub rows: u64,
    /// Rows that match a signalled call.
    pub matched: u64,
    /// Lines whose time could not be parsed.
    pub unreadable: u64,
}

/// Reads a file. Times without a zone are in `zone`.
///
/// Errors: it is no CSV, too long, or lacks a column.
pub fn read(
    text: impl std::io::Read,
    separator: u8,
    columns: &CdrColumns,
    zone: &TimeZone,
) -> Result<Cdrs, CdrError> {
    let mut csv = csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(text);
    let head = csv.headers().map_err(broken)?.clone();
    let find = |wanted: &str| {
        let same = |name: &str| name.trim_matches(['\u{feff}', ' ']).eq_ignore_ascii_case(wanted.trim());
        head.iter().position(same).ok_or_else(|| CdrError::NoColumn {
            wanted: wanted.to_owned(),
            there: head.iter().collect::<Vec<_>>().join(", "),
        })
    };
    let optional = |name: &Option<String>| name.as_deref().map(find).transpose();
    let (start, caller, called) =
        (find(&columns.start)?, optional(&columns.caller)?, optional(&columns.called)?);
    let ids = columns.ids.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let only = columns.only.as_ref().map(|(name, value)| Ok((find(name)?, value))).transpose()?;
    let mut read = Cdrs::default();
    for record in csv.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).map(str::trim).filter(|text| !text.is_empty());
        if only.is_some_and(|(at, value)| field(at) != Some(value.as_str())) {
            continue;
        }
        if read.rows.len() + read.unreadable.len() >= ROWS {
            return Err(CdrError::TooLong);
        }
        let private = |at: Option<usize>| Some(Private::new(field(at?)?.to_owned()));
        match field(start).and_then(|text| time(text, zone)) {
            Some(start) => read.rows.push(CdrRow {
                line,
                start,
                caller: private(caller),
                called: private(called),
                ids: ids.iter().filter_map(|at| private(Some(*at))).collect(),
            }),
            None => read.unreadable.push(line),
        }
    }
    Ok(read)
}

fn broken(error: csv::Error) -> CdrError {
    CdrError::Csv { line: error.position().map_or(0, csv::Position::line), why: error.to_string() }
}

/// RFC 3339; the same without a zone, with a blank for the T; seconds or milliseconds since 1970.
fn time(text: &str, zone: &TimeZone) -> Option<WallTime> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(WallTime::from_timestamp(at));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.len() >= 10 {
        let number: f64 = text.parse().ok()?;
        let seconds = if number > 1e11 { number / 1e3 } else { number };
        return Some(WallTime::from_unix_micros((seconds * 1e6) as i64));
    }
    let local: DateTime = text.replacen('/', "-", 2).parse().ok()?;
    Some(WallTime::from_timestamp(local.to_zoned_datetime(zone.clone()).ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> CdrColumns {
        CdrColumns {
            start: "start".into(),
            caller: Some("from".into()),
            called: None,
            ids: vec!["UCID".into()],
            only: Some(("direction".into(), "in".into())),
        }
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns_and_odd_times_are_counted() {
        let text = "\u{feff}Start;From;ucid;Direction\n\
            2026-11-24 12:00:00;\"+45; 88888888\";abc;in\n2026-11-24T11:00:00Z;1;;in\n1795514400;2;;in\n\
            soon;3;;in\n2026-11-24 12:00:00;4;;out\n";
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        let read = read(text.as_bytes(), b';', &columns(), &zone).unwrap();
        let times: Vec<String> = read.rows.iter().map(|row| row.start.timestamp().to_string()).collect();
        assert_eq!(times, ["2026-11-24T11:00:00Z", "2026-11-24T11:00:00Z", "2026-11-24T10:00:00Z"]);
        assert_eq!(read.rows[0].caller.as_ref().unwrap().reveal(), "+45; 88888888");
        assert_eq!((read.rows[0].ids.len(), read.rows[1].ids.len()), (1, 0));
        assert_eq!(read.unreadable, [5]);
    }

    #[test]
    fn a_file_of_more_rows_than_any_day_has_is_refused_whether_they_can_be_read_or_not() {
        for row in ["soon\n", "2026-11-24T11:00:00Z\n"] {
            let columns = CdrColumns { start: "start".into(), ..CdrColumns::default() };
            let text = |rows: usize| format!("start\n{}", row.repeat(rows));
            assert!(read(text(ROWS).as_bytes(), b',', &columns, &TimeZone::UTC).is_ok());
            let more = read(text(ROWS + 1).as_bytes(), b',', &columns, &TimeZone::UTC);
            assert!(matches!(more, Err(CdrError::TooLong)), "{row}");
        }
    }

    #[test]
    fn a_missing_column_is_named_with_those_that_there_are() {
        let zone = TimeZone::UTC;
        let error = read("a,b\n1,2\n".as_bytes(), b',', &columns(), &zone).unwrap_err();
        assert_eq!(error.to_string(), "no column `start`; columns: a, b");
    }
}
