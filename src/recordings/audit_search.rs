//! Searching the audit log, and what is unusual in it. In: the log, and the index for who called. Out: entries, newest first;
//! the state of the chain; listening that is worth asking about.
//!
//! What counts as unusual is simple on purpose, so that an auditor can say why: many more recordings on a day than this
//! person usually hears; at night; of a caller with the listener's own name; several of one caller.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::audit::{AuditFault, AuditLog};
use crate::auth::Departments;
use crate::http::audited::{AuditAction, AuditEntry, Purpose};
use crate::http::oversight::audit_search::{AuditFound, AuditQuery, ChainView, FoundEntry, Unusual};
use crate::http::recordings::library::LibraryError;
use crate::index::{Index, IndexError};
use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// How far back listening is looked at. Units: days.
pub(super) const DAYS: i64 = 30;
/// Recordings on a day that are never too many.
const VOLUME_LEAST: usize = 20;
/// How many times what is usual is unusual.
const VOLUME_TIMES: usize = 3;
/// The night ends and begins. Units: hours of the day.
const NIGHT: (i8, i8) = (6, 22);
/// Recordings of one caller that are unusual for one listener.
const SAME_CALLER: usize = 3;
/// Recordings whose callers are looked up, the newest.
const LOOKED_UP: usize = 2_000;
/// Recordings that are named in a finding.
const NAMED: usize = 10;

/// Entries that are wanted. Blocking.
///
/// Errors: the log cannot be read.
pub(super) fn search(audit: &AuditLog, key: &str, wanted: &AuditQuery) -> Result<AuditFound, LibraryError> {
    let mut found: VecDeque<FoundEntry> = VecDeque::new();
    let actor = wanted.actor.as_ref().map(|actor| actor.to_lowercase());
    let text = wanted.text.as_ref().map(|text| text.to_lowercase());
    let mut more = false;
    for line in audit.lines().map_err(|_| LibraryError::Damaged)? {
        // What follows a broken place is not known to be what was written.
        let Ok(line) = line else { break };
        if wanted.before.is_some_and(|before| line.sequence >= before) {
            break;
        }
        let Ok(entry) = serde_json::from_str::<AuditEntry>(line.entry.get()) else { continue };
        if fits(&entry, wanted, actor.as_deref(), text.as_deref()) {
            if found.len() == wanted.most {
                found.pop_front();
                more = true;
            }
            found.push_back(FoundEntry { sequence: line.sequence, entry });
        }
    }
    let entries: Vec<FoundEntry> = found.into_iter().rev().collect();
    let next = entries.last().map(|last| last.sequence).filter(|_| more);
    Ok(AuditFound { entries, next, chain: chain(audit, key)? })
}

fn fits(entry: &AuditEntry, wanted: &AuditQuery, actor: Option<&str>, text: Option<&str>) -> bool {
    let detail = || entry.detail.as_ref().map(|detail| detail.reveal().to_lowercase()).unwrap_or_default();
    actor.is_none_or(|actor| entry.actor.to_lowercase().contains(actor))
        && wanted.action.is_none_or(|action| entry.action == action)
        && wanted.purpose.is_none_or(|purpose| entry.purpose == Some(purpose))
        && wanted.recording.is_none_or(|recording| entry.recording == Some(recording))
        && wanted.from.is_none_or(|from| entry.at >= from)
        && wanted.to.is_none_or(|to| entry.at < to)
        && text.is_none_or(|text| detail().contains(text))
}

fn chain(audit: &AuditLog, key: &str) -> Result<ChainView, LibraryError> {
    match audit.verify_against(&[], Some(key)) {
        Ok(verdict) => Ok(ChainView {
            intact: true,
            first: verdict.first,
            last: verdict.last,
            checkpoints: verdict.compared,
            fault: None,
        }),
        Err(AuditFault::Io(_)) => Err(LibraryError::Damaged),
        Err(fault) => {
            Ok(ChainView { intact: false, first: 0, last: 0, checkpoints: 0, fault: Some(fault.to_string()) })
        }
    }
}

/// Somebody heard a recording.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    /// When.
    pub at: WallTime,
    /// Who.
    pub actor: String,
    /// What for.
    pub purpose: Option<Purpose>,
    /// Which.
    pub recording: CallId,
}

/// Everything that was heard since a moment. Blocking.
///
/// Errors: the log cannot be read.
fn heard(audit: &AuditLog, since: WallTime) -> Result<Vec<Heard>, LibraryError> {
    let mut all: Vec<Heard> = Vec::new();
    for line in audit.lines().map_err(|_| LibraryError::Damaged)? {
        let Ok(line) = line else { break };
        let Ok(entry) = serde_json::from_str::<AuditEntry>(line.entry.get()) else { continue };
        let Some(recording) = entry.recording.filter(|_| entry.at >= since) else { continue };
        match entry.action {
            AuditAction::Playback => {
                all.push(Heard { at: entry.at, actor: entry.actor, purpose: entry.purpose, recording });
            }
            // Nothing of it left the recorder.
            AuditAction::NotServed => {
                let last = all.iter().rposition(|one| one.actor == entry.actor && one.recording == recording);
                last.map(|at| all.remove(at));
            }
            _ => {}
        }
    }
    Ok(all)
}

/// Who called, as far as the index still has it.
struct Caller {
    /// The number.
    pub number: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// Who called in these recordings, and the own names of users.
///
/// Errors: index unavailable.
async fn who(
    index: &Index,
    heard: &[Heard],
) -> Result<(BTreeMap<CallId, Caller>, BTreeMap<String, String>), IndexError> {
    let mut callers = BTreeMap::new();
    for one in heard.iter().rev() {
        if callers.len() == LOOKED_UP || callers.contains_key(&one.recording) {
            continue;
        }
        let row = index.get(one.recording).await?;
        let (number, name) = row.map_or((None, None), |row| (row.caller_number, row.caller_name));
        let number = number.map(|number| number.reveal().clone()).filter(|number| !number.is_empty());
        callers.insert(one.recording, Caller { number, name: name.map(|name| name.reveal().clone()) });
    }
    let names = index.users().await?.into_iter().map(|user| (user.name, user.display_name)).collect();
    Ok((callers, names))
}

/// What is unusual in the listening since a moment to recordings of these departments.
///
/// Errors: log or index cannot be read.
pub(super) async fn unusual_since(
    audit: &AuditLog,
    index: &Index,
    (since, zone): (WallTime, &str),
    within: &Departments,
) -> Result<Vec<Unusual>, LibraryError> {
    let audit = audit.clone();
    let heard = tokio::task::spawn_blocking(move || heard(&audit, since)).await;
    let mut heard = heard.unwrap_or(Err(LibraryError::Damaged))?;
    let down = |_: IndexError| LibraryError::IndexDown;
    if !within.are_all() {
        let ids: BTreeSet<CallId> = heard.iter().map(|one| one.recording).collect();
        let ids: Vec<CallId> = ids.into_iter().collect();
        let covered = index.within(&ids, within).await.map_err(down)?.covered;
        heard.retain(|one| covered.contains(&one.recording));
    }
    let (callers, names) = who(index, &heard).await.map_err(down)?;
    Ok(unusual(&heard, &callers, &names, &TimeZone::get(zone).unwrap_or(TimeZone::UTC)))
}

/// What is unusual, the newest first.
fn unusual(
    heard: &[Heard],
    callers: &BTreeMap<CallId, Caller>,
    names: &BTreeMap<String, String>,
    zone: &TimeZone,
) -> Vec<Unusual> {
    let mut by_actor: BTreeMap<&str, Vec<&Heard>> = BTreeMap::new();
    for one in heard {
        by_actor.entry(&one.actor).or_default().push(one);
    }
    let mut all = Vec::new();
    for (actor, heard) in by_actor {
        all.extend(volume(actor, &heard, zone));
        let night = |one: &Heard| !(NIGHT.0..NIGHT.1).contains(&local(one.at, zone).hour());
        all.extend(finding("hours", actor, &heard, night, 1));
        let own = names.get(actor).map(|name| words(name)).filter(|words| words.len() > 1);
        let is_own = |one: &Heard| {
            let caller = callers.get(&one.recording).and_then(|caller| caller.name.as_deref()).map(words);
            own.as_ref().zip(caller).is_some_and(|(own, caller)| own.is_subset(&caller))
        };
        all.extend(finding("own_name", actor, &heard, is_own, 1));
        // To hear a caller's recordings is the work of whoever answers that caller.
        let number = |one: &Heard| {
            let listened = one.purpose != Some(Purpose::CallerRequest);
            callers.get(&one.recording).and_then(|caller| caller.number.as_deref()).filter(|_| listened)
        };
        let numbers: BTreeSet<&str> = heard.iter().filter_map(|one| number(one)).collect();
        for caller in numbers {
            all.extend(finding("same_caller", actor, &heard, |one| number(one) == Some(caller), SAME_CALLER));
        }
    }
    all.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.kind.cmp(other.kind)));
    all
}

fn local(at: WallTime, zone: &TimeZone) -> DateTime {
    at.timestamp().to_zoned_datetime(zone.clone()).datetime()
}

/// The words of a name, however it is written.
fn words(name: &str) -> BTreeSet<String> {
    name.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Recordings that fit, if there are enough.
fn finding(
    kind: &'static str,
    actor: &str,
    heard: &[&Heard],
    fits: impl Fn(&Heard) -> bool,
    least: usize,
) -> Option<Unusual> {
    let those: Vec<&&Heard> = heard.iter().filter(|one| fits(one)).collect();
    let recordings: BTreeSet<CallId> = those.iter().map(|one| one.recording).collect();
    let at = those.iter().map(|one| one.at).max().filter(|_| recordings.len() >= least)?;
    let count = recordings.len() as u64;
    let recordings = recordings.into_iter().take(NAMED).collect();
    Some(Unusual { kind, actor: actor.to_owned(), at, count, usual: None, recordings })
}

/// The day on which somebody heard most, if that is far more than on their other days.
fn volume(actor: &str, heard: &[&Heard], zone: &TimeZone) -> Option<Unusual> {
    let mut days: BTreeMap<Date, BTreeSet<CallId>> = BTreeMap::new();
    for one in heard {
        days.entry(local(one.at, zone).date()).or_default().insert(one.recording);
    }
    let (day, most) = days.iter().max_by_key(|(_, recordings)| recordings.len())?;
    let mut others: Vec<usize> =
        days.iter().filter(|(one, _)| *one != day).map(|(_, all)| all.len()).collect();
    others.sort_unstable();
    let usual = others.get(others.len() / 2).copied().unwrap_or(0);
    if most.len() <= VOLUME_LEAST.max(usual * VOLUME_TIMES) {
        return None;
    }
    let found = finding("volume", actor, heard, |one| local(one.at, zone).date() == *day, 1)?;
    Some(Unusual { usual: Some(usual as u64), ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::signing::Signer;

    fn at(text: &str) -> WallTime {
        WallTime::from_timestamp(format!("{text}Z").parse().unwrap())
    }

    fn one(time: &str, actor: &str, n: u8, purpose: Purpose) -> Heard {
        let recording = CallId::from_bytes([n; 16]);
        Heard { at: at(time), actor: actor.into(), purpose: Some(purpose), recording }
    }

    fn kinds(heard: &[Heard], callers: &[(u8, &str, &str)]) -> Vec<(&'static str, String, u64, Option<u64>)> {
        let caller =
            |number: &str, name: &str| Caller { number: Some(number.into()), name: Some(name.into()) };
        let callers =
            callers.iter().map(|(n, number, name)| (CallId::from_bytes([*n; 16]), caller(number, name)));
        let names = [("ada".to_owned(), "Ada Møller".to_owned()), ("bo".to_owned(), "Bo".to_owned())].into();
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        let found = unusual(heard, &callers.collect(), &names, &zone);
        found.into_iter().map(|one| (one.kind, one.actor, one.count, one.usual)).collect()
    }

    #[test]
    fn ordinary_listening_is_not_unusual_and_each_rule_tells_whom_it_is_about() {
        use Purpose::{CallerRequest, Training};
        let day: Vec<Heard> = (0..20).map(|n| one("2026-11-24T10:00:00", "ada", n, Training)).collect();
        assert_eq!(kinds(&day, &[(1, "1", "Karen Blixen"), (2, "2", "Ada Blixen")]), []);
        // 22:30 in Copenhagen.
        assert_eq!(
            kinds(&[one("2026-11-24T21:30:00", "bo", 1, Training)], &[(1, "1", "Bo")]),
            [("hours", "bo".to_owned(), 1, None)]
        );
        assert_eq!(
            kinds(&[one("2026-11-24T10:00:00", "ada", 1, Training)], &[(1, "1", "MØLLER, Ada Karen")]),
            [("own_name", "ada".to_owned(), 1, None)]
        );
        let same = |purpose| [1, 2, 3].map(|n| one("2026-11-24T10:00:00", "bo", n, purpose));
        let callers = [(1, "+4512345678", "A"), (2, "+4512345678", "A"), (3, "+4512345678", "A")];
        assert_eq!(kinds(&same(Training), &callers), [("same_caller", "bo".to_owned(), 3, None)]);
        assert_eq!(kinds(&same(CallerRequest), &callers), []);
        // Parts of one recording are one.
        let again = [0; 30].map(|_| one("2026-11-24T10:00:00", "bo", 1, Training));
        assert_eq!(kinds(&again, &callers[..1]), []);
    }

    #[test]
    fn many_more_than_usual_on_a_day_is_unusual() {
        let of_day = |day: u8, from: u8, count: u8| {
            (from..from + count)
                .map(move |n| one(&format!("2026-11-{day}T10:00:00"), "ada", n, Purpose::Training))
        };
        let few: Vec<Heard> = of_day(20, 0, 4).chain(of_day(21, 4, 6)).chain(of_day(24, 20, 25)).collect();
        assert_eq!(kinds(&few, &[]), [("volume", "ada".to_owned(), 25, Some(6))]);
        let many: Vec<Heard> =
            of_day(20, 0, 12).chain(of_day(21, 20, 12)).chain(of_day(24, 40, 25)).collect();
        assert_eq!(kinds(&many, &[]), []);
    }

    fn entry(n: i64, actor: &str, action: AuditAction, detail: &str) -> AuditEntry {
        AuditEntry {
            at: WallTime::from_unix_micros(n * 1_000_000),
            actor: actor.into(),
            action,
            purpose: Some(Purpose::Training),
            recording: Some(CallId::from_bytes([7; 16])),
            detail: Some(detail.to_owned().into()),
        }
    }

    #[test]
    fn entries_are_found_newest_first_page_by_page_and_a_changed_log_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let (log, signer) = (AuditLog::new(&path), Signer::from_seed(&[7; 32]).unwrap());
        for n in 0..10 {
            let action = if n % 2 == 0 { AuditAction::Playback } else { AuditAction::Case };
            log.append(&entry(n, if n < 6 { "Ada" } else { "bo" }, action, &format!("request 2026-{n:04}")))
                .unwrap();
        }
        log.checkpoint(&signer, WallTime::from_unix_micros(1)).unwrap();
        let key = signer.public_key();
        let look = |wanted: AuditQuery| search(&log, &key, &wanted).unwrap();
        let numbers = |found: &AuditFound| found.entries.iter().map(|one| one.sequence).collect::<Vec<_>>();
        let first = look(AuditQuery { actor: Some("ADA".into()), most: 4, ..AuditQuery::default() });
        assert_eq!((numbers(&first), first.next), (vec![6, 5, 4, 3], Some(3)));
        let rest = look(AuditQuery {
            actor: Some("ada".into()),
            before: first.next,
            most: 4,
            ..AuditQuery::default()
        });
        assert_eq!((numbers(&rest), rest.next), (vec![2, 1], None));
        assert_eq!((rest.chain.intact, rest.chain.last, rest.chain.checkpoints), (true, 10, 1));
        let case = AuditQuery {
            action: Some(AuditAction::Case),
            text: Some("2026-0007".into()),
            from: Some(WallTime::from_unix_micros(1)),
            most: 9,
            ..AuditQuery::default()
        };
        assert_eq!(numbers(&look(case)), [8]);
        assert_eq!(heard(&log, WallTime::from_unix_micros(5_000_000)).unwrap().len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("2026-0004", "2026-0003", 1)).unwrap();
        let found = look(AuditQuery { most: 99, ..AuditQuery::default() });
        assert!(!found.chain.intact && found.chain.fault.as_ref().unwrap().contains("modified"), "{found:?}");
        assert_eq!(numbers(&found), [4, 3, 2, 1], "what follows is not shown as true");
        // Entries that were signed are missing at the end.
        let kept: Vec<&str> = text.lines().take(8).collect();
        std::fs::write(&path, kept.join("\n") + "\n").unwrap();
        let found = look(AuditQuery { most: 99, ..AuditQuery::default() });
        assert!(!found.chain.intact && found.chain.fault.unwrap().contains("truncated"));
    }
}
