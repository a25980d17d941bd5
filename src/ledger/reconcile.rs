//! Reconciliation of call records. In: rows. Out: a report.
//!
//! A call of the PBX and one of ours are the same if they share a name; otherwise if their numbers agree and their times do
//! within the tolerance, nearest first. Two recordings of one call are no fault; a record without a call, or a call without
//! a record, is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::index::{AnnouncedCallRow, IndexRow, Pseudonyms};
use crate::ledger::call_detail_records::{CdrRow, Cdrs, Matched};
use crate::ledger::report::{Line, Object, Report};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// Everything that is compared.
pub struct Facts {
    /// The day, for the heading.
    pub day: String,
    /// Start of the day.
    pub from: WallTime,
    /// End of the day.
    pub to: WallTime,
    /// Announced calls, those within the tolerance before and after included.
    pub sessions: Vec<AnnouncedCallRow>,
    /// Outcomes of admitted calls: id, department, outcome, cause.
    pub calls: Vec<(CallId, String, String, String)>,
    /// Recordings in the index.
    pub recordings: Vec<IndexRow>,
    /// Objects of the store: the size of each recording's audio, if its manifest exists.
    pub objects: HashMap<CallId, u64>,
    /// Calls whose spool key exists: not delivered yet.
    pub spooled: HashSet<CallId>,
    /// The PBX's records.
    pub cdr: Option<Cdrs>,
    /// Maximum difference between times.
    pub tolerance: Duration,
    /// Current time: decides whether a call without an end counts as lost.
    pub now: WallTime,
}

/// Longest call: an older one without an end will not get one. Units: µs.
const LONGEST_US: i64 = 12 * 3_600 * 1_000_000;

/// Share of the audio owed by a stream from which it counts as kept; below, speech is hard to follow. Units: %.
const KEPT_PERCENT: u64 = 95;

/// Reconciles the facts.
pub fn reconcile(facts: &Facts, by: &Pseudonyms) -> Report {
    let of_day = |at: WallTime| at >= facts.from && at < facts.to;
    let outcomes: HashMap<CallId, &(CallId, String, String, String)> =
        facts.calls.iter().map(|call| (call.0, call)).collect();
    let recordings: HashMap<CallId, &IndexRow> = facts.recordings.iter().map(|row| (row.id, row)).collect();
    let mut report = Report { day: facts.day.clone(), ..Report::default() };
    let announced: HashSet<CallId> = facts.sessions.iter().filter_map(|session| session.call).collect();
    let mut sessions: Vec<AnnouncedCallRow> = facts.sessions.clone();
    // Calls known only by their outcome or their object: older ones, or those whose ledger entry was lost with the
    // process.
    let known = facts.calls.iter().map(|call| (call.0, call.1.clone()));
    let stored = facts.objects.keys().map(|id| (*id, String::new()));
    let mut added = HashSet::new();
    for (id, department) in known.chain(stored) {
        if !announced.contains(&id) && added.insert(id) {
            let row = recordings.get(&id);
            sessions.push(unannounced(id, department, row.copied(), by));
        }
    }
    sessions.sort_by_key(|session| (session.began_at, session.id.clone()));
    let matches = match_records(&sessions, facts, by);
    for (session, cdr_line) in sessions.iter().zip(&matches.of_session) {
        if !of_day(session.began_at) {
            continue;
        }
        let (outcome, cause) = outcome(session, &outcomes, facts);
        let object = object(session, &outcome, &recordings, facts);
        let line = Line {
            began_at: session.began_at,
            client: session.client.clone(),
            department: session.department.clone(),
            call: session.call,
            outcome,
            cause,
            object,
            cdr_line: *cdr_line,
        };
        let row = session.call.and_then(|id| recordings.get(&id)).copied();
        report.faults.extend(faults(&line, session, facts));
        report.faults.extend(stream_faults(&line, session, row));
        add_streams(&mut report, session, row);
        let name = if line.cause.is_empty() {
            line.outcome.clone()
        } else {
            format!("{}/{}", line.outcome, line.cause)
        };
        *report.outcomes.entry(name).or_default() += 1;
        report.calls.push(line);
    }
    if let Some(cdr) = &facts.cdr {
        let rows: Vec<&CdrRow> = cdr.rows.iter().filter(|row| of_day(row.start)).collect();
        let without = rows.iter().filter(|row| !matches.lines.contains(&row.line));
        report.faults.extend(without.clone().map(|row| {
            format!("call record in line {}, {}: no call was announced here", row.line, row.start.timestamp())
        }));
        report.faults.extend(
            cdr.unreadable.iter().map(|line| format!("call record in line {line}: its time cannot be read")),
        );
        report.cdr = Some(Matched {
            rows: rows.len() as u64,
            matched: (rows.len() - without.count()) as u64,
            unreadable: cdr.unreadable.len() as u64,
        });
    }
    report
}

fn unannounced(id: CallId, department: String, row: Option<&IndexRow>, by: &Pseudonyms) -> AnnouncedCallRow {
    let hash = |number: Option<&String>| number.and_then(|number| by.number(number));
    AnnouncedCallRow {
        id: id.to_string(),
        began_at: id.admitted_at(),
        ended_at: row.map(|row| row.ended_at),
        client: "unknown".to_owned(),
        department,
        call: Some(id),
        outcome: None,
        caller: hash(row.and_then(|row| row.caller_number.as_ref().map(|n| n.reveal()))),
        called: hash(row.and_then(|row| row.called_number.as_ref().map(|n| n.reveal()))),
        names: row
            .and_then(|row| row.external_id.as_ref())
            .map(|id| by.names(id.reveal()))
            .unwrap_or_default(),
        refused_streams: Default::default(),
    }
}

/// The one outcome of a call.
fn outcome(
    session: &AnnouncedCallRow,
    outcomes: &HashMap<CallId, &(CallId, String, String, String)>,
    facts: &Facts,
) -> (String, String) {
    if let Some(call) = session.call.and_then(|id| outcomes.get(&id)) {
        return (call.2.clone(), call.3.clone());
    }
    if let Some(outcome) = &session.outcome {
        return outcome.clone();
    }
    let said = |outcome: &str, cause: &str| (outcome.to_owned(), cause.to_owned());
    let old = facts.now.micros_since(session.began_at) > LONGEST_US;
    match session.call {
        Some(id) if facts.spooled.contains(&id) && session.ended_at.is_some() => said("settling", ""),
        Some(id) if facts.objects.contains_key(&id) => said("recorded", "not_in_index"),
        _ if session.ended_at.is_none() && !old => said("in_progress", ""),
        _ if session.ended_at.is_some() && session.call.is_some() && !old => said("settling", ""),
        _ => said("lost", "restart"),
    }
}

fn object(
    session: &AnnouncedCallRow,
    outcome: &str,
    recordings: &HashMap<CallId, &IndexRow>,
    facts: &Facts,
) -> Object {
    let Some(id) = session.call else { return Object::None };
    let row = recordings.get(&id);
    if outcome == "withdrawn" || row.is_some_and(|row| row.erased_at.is_some()) {
        return if facts.objects.contains_key(&id) { Object::Waiting } else { Object::Erased };
    }
    match (facts.objects.get(&id), row) {
        (Some(size), Some(row)) if *size == row.object_bytes => Object::Stored,
        (Some(_), None) => Object::Stored,
        (Some(_), Some(_)) => Object::Missing,
        (None, _) if is_recorded(outcome) && facts.spooled.contains(&id) => Object::Waiting,
        (None, _) if is_recorded(outcome) => Object::Missing,
        (None, _) => Object::None,
    }
}

fn is_recorded(outcome: &str) -> bool {
    matches!(outcome, "recorded" | "recorded_partly")
}

fn faults(line: &Line, session: &AnnouncedCallRow, facts: &Facts) -> Vec<String> {
    let mut faults = Vec::new();
    let name = line.call.map_or_else(|| format!("account {}", session.id), |id| format!("call {id}"));
    let place = format!("{name}, {}, from {}", line.began_at.timestamp(), line.client);
    let because = if line.cause.is_empty() { String::new() } else { format!(" because of {}", line.cause) };
    match line.outcome.as_str() {
        "lost" => faults.push(format!("{place}: lost{because}")),
        "no_audio" => faults.push(format!("{place}: no audio{because}")),
        "recorded_partly" => faults.push(format!("{place}: its recording ends before the call{because}")),
        "recorded" if line.cause == "not_in_index" => {
            faults.push(format!("{place}: in the store, but not in the index"));
        }
        _ => {}
    }
    let size = line.call.and_then(|id| facts.objects.get(&id));
    match (line.object, size) {
        (Object::Missing, None) => {
            faults.push(format!("{place}: recorded, but the store has no such object"))
        }
        (Object::Missing, Some(size)) => {
            faults.push(format!("{place}: its object has {size} bytes, and not what the index says"));
        }
        _ => {}
    }
    let expected = is_recorded(&line.outcome) || matches!(line.outcome.as_str(), "settling" | "in_progress");
    if size.is_some() && !expected && line.object != Object::Erased {
        faults.push(format!("{place}: {}, yet the store has audio of it", line.outcome));
    }
    if facts.cdr.is_some() && line.cdr_line.is_none() {
        faults.push(format!("{place}: the PBX has no record of it"));
    }
    faults
}

/// Adds what the streams of a call owed, what was kept, and why streams were refused.
fn add_streams(report: &mut Report, session: &AnnouncedCallRow, row: Option<&IndexRow>) {
    for stream in row.into_iter().flat_map(|row| &row.streams) {
        let sum = report.audio.entry(stream.role.name()).or_default();
        sum.streams += 1;
        sum.owed_ms += stream.owed_ms;
        sum.kept_ms += stream.kept_ms;
    }
    // A session without a call is in the report with its own outcome.
    for (cause, count) in session.call.iter().flat_map(|_| session.refused_streams.causes()) {
        *report.refused_streams.entry(cause).or_default() += u64::from(count);
    }
}

/// Streams of a recorded call of which a part, or all, is missing in the recording.
fn stream_faults(line: &Line, session: &AnnouncedCallRow, row: Option<&IndexRow>) -> Vec<String> {
    let Some(id) = line.call else { return Vec::new() };
    let place = format!("call {id}, {}, from {}", line.began_at.timestamp(), line.client);
    let mut faults = Vec::new();
    for (cause, count) in session.refused_streams.causes() {
        faults.push(format!("{place}: {count} of its audio streams not recorded: {cause}"));
    }
    for (at, stream) in row.into_iter().flat_map(|row| row.streams.iter().enumerate()) {
        if stream.kept_ms * 100 < stream.owed_ms * KEPT_PERCENT {
            let verdict = row.and_then(|row| row.verdicts.get(at)).map_or("", |verdict| verdict.name());
            faults.push(format!(
                "{place}: of stream {at} ({}) {} of {} ms are kept: {verdict}",
                stream.role.name(),
                stream.kept_ms,
                stream.owed_ms
            ));
        }
    }
    faults
}

/// Which record belongs to which call.
struct Matches {
    of_session: Vec<Option<u64>>,
    lines: HashSet<u64>,
}

fn match_records(sessions: &[AnnouncedCallRow], facts: &Facts, by: &Pseudonyms) -> Matches {
    let rows = facts.cdr.as_ref().map(|cdr| cdr.rows.as_slice()).unwrap_or_default();
    let mut of_session: Vec<Option<u64>> = vec![None; sessions.len()];
    let mut by_name: HashMap<String, u64> = HashMap::new();
    let mut by_caller: BTreeMap<String, Vec<&CdrRow>> = BTreeMap::new();
    let mut by_called: BTreeMap<String, Vec<&CdrRow>> = BTreeMap::new();
    for row in rows {
        for hash in row.ids.iter().flat_map(|id| by.all_names(id.reveal())) {
            by_name.insert(hash, row.line);
        }
        let hashes = |number: &Option<optag_core::private::Private<String>>| {
            number.as_ref().map(|number| by.all_numbers(number.reveal())).unwrap_or_default()
        };
        let callers = hashes(&row.caller);
        if callers.is_empty() {
            // Withheld number: the called number has to suffice.
            hashes(&row.called).into_iter().for_each(|called| by_called.entry(called).or_default().push(row));
        }
        callers.into_iter().for_each(|caller| by_caller.entry(caller).or_default().push(row));
    }
    for (at, session) in sessions.iter().enumerate() {
        of_session[at] = session.names.iter().find_map(|name| by_name.get(name).copied());
    }
    let named: HashSet<u64> = of_session.iter().flatten().copied().collect();
    for (at, session) in
        sessions.iter().enumerate().filter(|(at, _)| matches_nothing(&of_session, *at)).collect::<Vec<_>>()
    {
        let candidates = match &session.caller {
            Some(caller) => by_caller.get(caller),
            None => session.called.as_ref().and_then(|called| by_called.get(called)),
        };
        let called_agrees = |row: &CdrRow| {
            let theirs = row.called.as_ref().map(|number| by.all_numbers(number.reveal()));
            let theirs = theirs.unwrap_or_default();
            theirs.is_empty() || session.called.as_ref().is_none_or(|ours| theirs.contains(ours))
        };
        let apart = |row: &CdrRow| row.start.micros_since(session.began_at).unsigned_abs();
        let near = |row: &&&CdrRow| apart(row) <= facts.tolerance.as_micros() as u64;
        let free = candidates.into_iter().flatten().filter(near).filter(|row| !named.contains(&row.line));
        // Departments have several numbers: an equal called number is preferred, not required.
        let best = free.min_by_key(|row| (!called_agrees(row), apart(row)));
        of_session[at] = best.map(|row| row.line);
    }
    let lines = of_session.iter().flatten().copied().collect();
    Matches { of_session, lines }
}

fn matches_nothing(of_session: &[Option<u64>], at: usize) -> bool {
    of_session[at].is_none()
}

#[cfg(test)]
mod tests;
