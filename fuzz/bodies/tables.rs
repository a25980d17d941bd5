//! What must hold for any text that claims to be a table of recordings to import, or a PBX's call detail
//! records: it is refused, or its rows are within their bounds and compared with a day's calls.

use std::collections::{HashMap, HashSet};
use std::path::Component;
use std::time::Duration;

use jiff::tz::TimeZone;
use optag::import::table;
use optag::index::{AnnouncedCallRow, Pseudonyms};
use optag::ledger::call_detail_records::{self, CdrColumns};
use optag::ledger::{Facts, reconcile};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::limit;

/// Reads a table of the kind that the first byte says.
pub(super) fn run(data: &[u8]) {
    let Some((&mode, text)) = data.split_first() else { return };
    let zone = match mode >> 1 & 3 {
        0 => Some(TimeZone::UTC),
        1 => TimeZone::get("Europe/Copenhagen").ok(),
        2 => Some(TimeZone::fixed(jiff::tz::Offset::MAX)),
        _ => None,
    };
    match mode & 1 {
        0 => import(text, zone.as_ref()),
        _ => records(text, mode, &zone.unwrap_or(TimeZone::UTC)),
    }
}

fn import(text: &[u8], zone: Option<&TimeZone>) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(lines) = table::read(text, zone) else { return };
    for row in lines.into_iter().filter_map(|(_, row)| row.ok()) {
        assert!(row.file.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", row.file);
        for number in [&row.caller_number, &row.called_number] {
            assert!(number.reveal().chars().count() <= limit::NUMBER_CHARS);
        }
        for text in [&row.caller_name, &row.external_id].into_iter().flatten() {
            assert!((1..=limit::TEXT_CHARS).contains(&text.reveal().chars().count()));
        }
        let id = CallId::new_at(row.started_at);
        let _ = (id.admitted_at(), row.consent_at.to_string(), row.started_at.plus_days(90).to_string());
    }
}

/// The middle of the day that is compared.
const NOON_US: i64 = 1_795_780_800_000_000;

fn records(text: &[u8], mode: u8, zone: &TimeZone) {
    let some = |name: &str, wanted: bool| wanted.then(|| name.to_owned());
    let columns = CdrColumns {
        start: "start".into(),
        caller: some("from", mode & 8 != 0),
        called: some("to", mode & 16 != 0),
        ids: some("id", mode & 32 != 0).into_iter().collect(),
        only: (mode & 64 != 0).then(|| ("way".into(), "in".into())),
    };
    let separator = if mode & 128 != 0 { b';' } else { b',' };
    let Ok(read) = call_detail_records::read(text, separator, &columns, zone) else { return };
    let lines = text.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count() + 1;
    assert!(read.rows.len() + read.unreadable.len() <= lines, "more rows than lines");
    let by = Pseudonyms::new(&[1; 32], "45");
    let noon = WallTime::from_unix_micros(NOON_US);
    let session = |n: i64, call| AnnouncedCallRow {
        id: format!("a{n}"),
        began_at: noon.plus_micros(n * 1_000_000),
        ended_at: None,
        client: "192.0.2.1".into(),
        department: "tax".into(),
        call,
        outcome: Some(("not_selected".into(), String::new())),
        caller: by.number("88888888"),
        called: by.number("70102030"),
        names: by.names("call-1"),
        refused_streams: Default::default(),
    };
    let facts = Facts {
        day: "2026-11-27".into(),
        from: noon.plus_micros(-43_200_000_000),
        to: noon.plus_micros(43_200_000_000),
        sessions: vec![session(0, None), session(1, Some(CallId::new_at(noon)))],
        calls: Vec::new(),
        recordings: Vec::new(),
        objects: HashMap::new(),
        spooled: HashSet::new(),
        cdr: Some(read),
        tolerance: Duration::from_secs(30),
        now: noon.plus_days(1),
    };
    let report = reconcile(&facts, &by);
    let matched = report.cdr.as_ref().expect("records were given");
    assert!(matched.matched <= matched.rows);
    assert_eq!(report.calls.len(), 2, "each call stands in the report once");
    let json = serde_json::to_string(&report).expect("a report is written as JSON");
    assert!(!json.contains("88888888") && !report.to_string().contains("88888888"), "a number is shown");
}
