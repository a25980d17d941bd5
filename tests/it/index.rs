//! The index on each supported database: callers' descriptions find their recordings, due recordings are known,
//! erased ones are gone.

use optag::index::{CallRow, Candidate, Claim, Departments, Index, IndexError, IndexPlace, Query, Wanted};
use optag_core::call::{CallFacts, Outcome, StreamVerdict};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_core::private::Private;
use optag_media::fact::EndedBy;
use optag_storage::archive::manifest::Manifest;
use sqlx::{Connection, Row};

use crate::erasure::{becomes, record};
use crate::postgres::Postgres;
use crate::server::{Server, Settings, files_below};

pub(crate) fn manifest(at_s: i64, number: &str, name: &str, department: &str) -> Manifest {
    let started_at = WallTime::from_unix_micros(at_s * 1_000_000);
    Manifest {
        version: 1,
        call: CallFacts {
            id: CallId::new_at(started_at),
            department: department.into(),
            started_at,
            retention_days: 90,
            caller_number: number.to_owned().into(),
            called_number: "70101010".to_owned().into(),
            caller_name: Some(name.to_owned().into()),
            external_id: None,
            streams: vec![],
            context: Default::default(),
        },
        recording_started_at: started_at,
        ended_at: started_at.plus_micros(5_000_000),
        ended_by: EndedBy::Feed,
        duration_ms: 5_000,
        expires_at: started_at.plus_days(90),
        consent: vec![],
        gaps: vec![],
        counts: vec![],
        verdicts: vec![],
        peaks_100ms: vec![],
        audio_bytes: 10,
        audio_rate_hz: 8_000,
        audio_sha256: "00".into(),
        object: None,
        stored: Default::default(),
        written_by: "test".into(),
    }
}

/// Runs a check on an empty index of every kind available here.
pub(crate) async fn on_each(check: impl AsyncFn(&Index)) {
    let dir = tempfile::tempdir().unwrap();
    let file = IndexPlace::Sqlite(dir.path().join("index.sqlite"));
    check(&Index::open(&file, "45").await.unwrap()).await;
    if let Some(postgres) = Postgres::start() {
        check(&Index::open(&postgres.place(), "45").await.unwrap()).await;
    }
}

async fn count(index: &Index, change: impl FnOnce(&mut Query)) -> u64 {
    let mut query = Query { most: 10, ..Query::default() };
    change(&mut query);
    index.search(&query).await.unwrap().total
}

#[tokio::test]
async fn a_recording_is_found_by_what_a_caller_can_tell() {
    on_each(async |index| {
        index.put_recording(&manifest(1_000, "+45 12 34 56 78", "Søren Ågård", "demo")).await.unwrap();
        index.put_recording(&manifest(2_000, "87654321", "Ada 100% _Lovelace", "tax")).await.unwrap();
        for number in ["12345678", "+4512345678", "0045 12 34 56 78", "345678"] {
            assert_eq!(count(index, |q| q.number = Some(number.to_owned().into())).await, 1, "{number}");
        }
        assert_eq!(count(index, |q| q.number = Some("70 10 10 10".to_owned().into())).await, 2);
        assert_eq!(count(index, |q| q.number = Some("anonymous".to_owned().into())).await, 0);
        assert_eq!(count(index, |q| q.name = Some("soeren aa".to_owned().into())).await, 1);
        assert_eq!(count(index, |q| q.name = Some("%".to_owned().into())).await, 1);
        assert_eq!(count(index, |q| q.department = Some("tax".into())).await, 1);
        assert_eq!(count(index, |q| q.from = Some(WallTime::from_unix_micros(1_500_000_000))).await, 1);
        assert_eq!(count(index, |q| q.to = Some(WallTime::from_unix_micros(1_000_000_000))).await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_same_row_twice_is_one() {
    on_each(async |index| {
        let one = manifest(1_000, "1", "A", "demo");
        index.put_recording(&one).await.unwrap();
        index.put_recording(&one).await.unwrap();
        assert_eq!(count(index, |_| {}).await, 1);
    })
    .await;
}

/// Whether one of these texts is in any file of the directory: the database, its write-ahead log, its shared memory
/// and whatever else is there.
pub(crate) fn found_in_files(dir: &std::path::Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, bytes) in files_below(dir) {
        for text in texts {
            if memchr::memmem::find(&bytes, text.as_bytes()).is_some() {
                found.push(format!("{text} in {}", path.display()));
            }
        }
    }
    found
}

const PERSONAL: [&str; 6] = ["87651234", "43215678", "Grace", "Hopper", "grace hopper", "4587651234"];

#[tokio::test]
async fn an_erased_row_keeps_no_personal_data_in_any_file_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&IndexPlace::Sqlite(dir.path().join("index.sqlite")), "45").await.unwrap();
    let one = manifest(1_000, "87651234", "Grace Hopper", "demo");
    index.put_recording(&one).await.unwrap();
    assert!(!found_in_files(dir.path(), &PERSONAL).is_empty(), "the search must be able to find something");
    index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
    let row = index.get(one.id()).await.unwrap().unwrap();
    assert_eq!((row.caller_number, row.caller_name, row.erased_at.is_some()), (None, None, true));
    assert_eq!(count(&index, |_| {}).await, 0);
    assert_eq!(found_in_files(dir.path(), &PERSONAL), [""; 0]);
}

#[tokio::test]
async fn invariant_08_an_erasure_is_not_complete_while_another_process_keeps_the_old_row_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index.sqlite");
    let index = Index::open(&IndexPlace::Sqlite(file.clone()), "45").await.unwrap();
    let one = manifest(1_000, "87651234", "Grace Hopper", "demo");
    index.put_recording(&one).await.unwrap();
    // A backup, or a person with `sqlite3`, in the middle of reading.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut reader = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let ask = async |sql: &'static str, reader: &mut sqlx::SqliteConnection| {
        sqlx::raw_sql(sql).fetch_all(reader).await.unwrap().len()
    };
    ask("BEGIN", &mut reader).await;
    assert_eq!(ask("SELECT * FROM recordings", &mut reader).await, 1);
    let at = WallTime::from_unix_micros(9);
    for _ in 0..2 {
        let undone = index.mark_erased(one.id(), at).await;
        assert!(matches!(undone, Err(IndexError::ReadByOthers)), "{undone:?}");
        assert!(!found_in_files(dir.path(), &PERSONAL).is_empty(), "the reader still sees the old row");
    }
    // No other operation waits for that reader.
    index.put_recording(&manifest(2_000, "1", "Ada", "demo")).await.unwrap();
    ask("COMMIT", &mut reader).await;
    index.mark_erased(one.id(), at).await.unwrap();
    assert_eq!(found_in_files(dir.path(), &PERSONAL), [""; 0]);
}

/// Recordings of forty days, a few per day, whose callers share names and numbers.
async fn many(index: &Index) -> Vec<Manifest> {
    let names = ["Mette Christensen", "Søren Ågård", "Bo Jensen", "Ada Jensen-Holm", "Jens Bo"];
    let mut all = Vec::new();
    for n in 0..200 {
        let number = format!("8765{:04}", n % 23 * 100 + n % 2);
        let mut one = manifest(
            1_700_000_000 + n * 17_280,
            &number,
            names[n as usize % 5],
            ["demo", "tax"][n as usize % 2],
        );
        if n % 11 == 0 {
            one.call.caller_name = None;
        }
        if n % 13 == 0 {
            one.call.called_number = "87650000".to_owned().into();
        }
        index.put_recording(&one).await.unwrap();
        all.push(one);
    }
    all.reverse();
    all
}

/// The expected result of a search, by checking every recording.
fn fits(one: &Manifest, query: &Query) -> bool {
    let call = &one.call;
    let number = query.number.as_ref().is_none_or(|asked| {
        let asked = asked.reveal().trim_start_matches("+45");
        call.caller_number.reveal().ends_with(asked) || call.called_number.reveal().ends_with(asked)
    });
    let folded = |name: &str| name.to_lowercase().replace('ø', "oe").replace('å', "aa").replace('"', "");
    let name = query.name.as_ref().is_none_or(|asked| {
        call.caller_name.as_ref().is_some_and(|name| folded(name.reveal()).contains(&folded(asked.reveal())))
    });
    let department = query.department.as_ref().is_none_or(|department| *department == call.department)
        && query.within.cover(&call.department);
    let time = query.from.is_none_or(|from| call.started_at >= from)
        && query.to.is_none_or(|to| call.started_at < to);
    number && name && department && time
}

#[tokio::test]
async fn what_is_bound_to_departments_finds_nothing_of_others_in_any_way() {
    on_each(async |index| {
        let tax = manifest(1_000, "+45 12 34 56 78", "Karen Blixen", "tax");
        let care = manifest(2_000, "+45 12 34 56 78", "Karen Blixen", "care");
        for one in [&tax, &care] {
            index.put_recording(one).await.unwrap();
        }
        let ended = CallRow {
            id: CallId::new_at(WallTime::from_unix_micros(5)),
            department: "tax".into(),
            ended_at: WallTime::from_unix_micros(6),
            outcome: Outcome::Refused,
        };
        index.put_call(&ended).await.unwrap();
        let text = |text: &str| Some(Private::new(text.to_owned()));
        let window = (WallTime::from_unix_micros(0), WallTime::from_unix_micros(9_000_000_000));
        for within in [Departments::only(["tax"]), Departments::only(["tax", "none"])] {
            for (number, name) in
                [("", ""), ("12345678", ""), ("", "blixen"), ("", "Karen Blixen"), ("5678", "kar")]
            {
                let number = text(number).filter(|number| !number.reveal().is_empty());
                let name = text(name).filter(|name| !name.reveal().is_empty());
                let query = Query { number, name, within: within.clone(), most: 10, ..Query::default() };
                let found = index.search(&query).await.unwrap();
                let ids: Vec<_> = found.rows.iter().map(|row| row.id).collect();
                assert_eq!((ids, found.total), (vec![tax.id()], 1), "{query:?}");
            }
            for (number, name, window) in [
                (text("12345678"), None, None),
                (None, text("Karin Bliksen"), None),
                (None, text("Bliksen"), None),
                (None, None, Some(window)),
            ] {
                let wanted =
                    Wanted { number, name, window, within: within.clone(), most: 10, ..Wanted::default() };
                let found = index.candidates(&wanted).await.unwrap();
                let ids: Vec<_> = found.candidates.iter().map(|one| one.row.id).collect();
                assert_eq!((ids, found.total), (vec![tax.id()], 1), "{wanted:?}");
            }
            assert_eq!(index.of_caller("12345678", &within).await.unwrap(), [tax.id()]);
            let unknown = CallId::new_at(WallTime::from_unix_micros(7));
            let asked = [tax.id(), care.id(), ended.id, unknown];
            let told = index.within(&asked, &within).await.unwrap();
            assert_eq!(told.covered, [tax.id(), ended.id].into_iter().collect());
            assert_eq!(told.known, [tax.id(), care.id(), ended.id].into_iter().collect());
        }
        index.mark_erased(care.id(), WallTime::from_unix_micros(9)).await.unwrap();
        let told = index.within(&[care.id()], &Departments::only(["tax"])).await.unwrap();
        assert!(told.covered.is_empty() && told.known.len() == 1, "also when it is erased");
    })
    .await;
}

/// Departments that are asked for, and those that bound who asks.
fn bounds() -> [(Option<&'static str>, Departments); 6] {
    [
        (None, Departments::All),
        (Some("tax"), Departments::All),
        (Some("none"), Departments::All),
        (None, Departments::only(["none", "tax"])),
        (Some("tax"), Departments::only(["none"])),
        (None, Departments::only::<&str>([])),
    ]
}

/// Searches with all kinds of conditions, alone and combined.
fn searches() -> Vec<Query> {
    let text = |text: &str| (!text.is_empty()).then(|| Private::new(text.to_owned()));
    let at = |s: i64| Some(WallTime::from_unix_micros(s * 1_000_000));
    let mut all = Vec::new();
    for name in ["", "jensen", "sen", "Søren Å", "bo", "nobody", "jens\"en-h", "e\"n", "a%n"] {
        for number in ["", "87650000", "0000", "+4570101010", "70101010", "12349999"] {
            for (department, within) in bounds() {
                for (from, to) in
                    [(None, None), (at(1_700_500_000), at(1_701_700_123)), (None, at(1_700_006_400))]
                {
                    let (department, within) = (department.map(str::to_owned), within.clone());
                    all.push(Query {
                        number: text(number),
                        name: text(name),
                        department,
                        within,
                        from,
                        to,
                        verdict: None,
                        after: None,
                        skip: 0,
                        most: 7,
                    });
                }
            }
        }
    }
    all
}

async fn finds_what_fits(index: &Index, all: &[Manifest]) {
    for query in searches() {
        let expected: Vec<CallId> = all.iter().filter(|one| fits(one, &query)).map(|one| one.id()).collect();
        let mut found = Vec::new();
        loop {
            let page = index.search(&Query { skip: found.len() as u64, ..query.clone() }).await.unwrap();
            assert_eq!((page.total, page.more), (expected.len() as u64, false), "{query:?}");
            if page.rows.is_empty() {
                break;
            }
            found.extend(page.rows.iter().map(|row| row.id));
        }
        assert_eq!(found, expected, "{query:?}");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = index.search(&Query { after, ..query.clone() }).await.unwrap();
            assert_eq!(page.total, expected.len() as u64, "{query:?}");
            found.extend(page.rows.iter().map(|row| row.id));
            assert_eq!(page.next.is_some(), found.len() < expected.len(), "{query:?}");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
    }
}

#[tokio::test]
async fn every_search_finds_on_all_its_pages_what_looking_at_every_row_finds() {
    on_each(async |index| {
        let mut all = many(index).await;
        finds_what_fits(index, &all).await;
        for one in all.iter().step_by(3) {
            index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
        }
        let mut n = 0;
        all.retain(|_| {
            n += 1;
            (n - 1) % 3 != 0
        });
        finds_what_fits(index, &all).await;
    })
    .await;
}

#[tokio::test]
async fn an_index_of_an_earlier_version_is_searched_and_its_rows_are_erased_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.sqlite"), dir.path().join("new.sqlite"));
    let all = many(&Index::open(&IndexPlace::Sqlite(new.clone()), "45").await.unwrap()).await;
    // The tables as they were, by the migrations that there were.
    let migrations = dir.path().join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/index/migrations/sqlite");
    for name in ["0001_recordings_and_calls.sql", "0005_sessions.sql", "0007_deletion_heads.sql"] {
        std::fs::copy(here.join(name), migrations.join(name)).unwrap();
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&old).create_if_missing(true);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    // As every version has it.
    sqlx::raw_sql("PRAGMA secure_delete = ON").execute(&mut connection).await.unwrap();
    let migrator = sqlx::migrate::Migrator::new(migrations).await.unwrap();
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let copy = format!(
        "ATTACH '{}' AS new; INSERT INTO recordings SELECT id, department, started_at_us, recording_started_at_us,
             ended_at_us, duration_ms, caller_number, caller_number_norm, called_number, called_number_norm, caller_name,
             caller_name_folded, external_id, object_bytes, object_sha256, expires_at_us, erased_at_us
             FROM new.recordings; DETACH new",
        new.display()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(copy)).execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let index = Index::open(&IndexPlace::Sqlite(old), "45").await.unwrap();
    finds_what_fits(&index, &all).await;
    // Meanwhile one comes and one goes.
    let late = manifest(1_690_000_000, "11111111", "Zebra Late", "demo");
    index.put_recording(&late).await.unwrap();
    index.mark_erased(all[7].id(), WallTime::from_unix_micros(9)).await.unwrap();
    let mut left: Vec<Manifest> = all.into_iter().chain([late]).collect();
    left.remove(7);
    finds_what_fits(&index, &left).await;
    for one in &left {
        index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
    }
    let rest: Vec<String> =
        found_in_files(dir.path(), &["Jensen", "jensen", "Zebra", "zeb", "87650", "70101010"]);
    let rest: Vec<_> = rest.into_iter().filter(|found| found.contains("old.sqlite")).collect();
    assert_eq!(rest, [""; 0]);
}

#[tokio::test]
async fn what_is_due_comes_oldest_first_and_erased_rows_not_at_all() {
    on_each(async |index| {
        let (old, new) = (manifest(1_000, "1", "A", "demo"), manifest(2_000, "2", "B", "demo"));
        index.put_recording(&new).await.unwrap();
        index.put_recording(&old).await.unwrap();
        let later = new.expires_at;
        let claim = async |now, most| {
            let claim = Claim { now, since: None, node: 1, waits: true, most };
            index.claim_due(claim).await.unwrap().0
        };
        let middle = manifest(1_500, "3", "C", "demo");
        index.put_recording(&middle).await.unwrap();
        index.mark_erased(middle.id(), later).await.unwrap();
        assert_eq!(claim(old.expires_at.plus_micros(-1), 10).await, []);
        assert_eq!(claim(later, 1).await, [old.id()]);
        assert_eq!(claim(later, 10).await, [new.id()], "what is claimed is not claimed again");
        index.mark_erased(old.id(), later).await.unwrap();
        assert_eq!(index.live_after(None, 10).await.unwrap(), [new.id()]);
    })
    .await;
}

async fn candidates(index: &Index, change: impl FnOnce(&mut Wanted)) -> Vec<String> {
    let mut wanted = Wanted { most: 10, ..Wanted::default() };
    change(&mut wanted);
    let found = index.candidates(&wanted).await.unwrap();
    let name = |one: Candidate| one.row.caller_name.map(Private::into_inner).unwrap_or_default();
    found.candidates.into_iter().map(name).collect()
}

#[tokio::test]
async fn candidates_come_by_time_misspelt_name_and_a_slip_in_the_number_likeliest_first() {
    on_each(async |index| {
        let at = |s: i64| WallTime::from_unix_micros(s * 1_000_000);
        index.put_recording(&manifest(10_000, "12345678", "Mette Christensen", "demo")).await.unwrap();
        index.put_recording(&manifest(10_300, "12345687", "Kirsten Nielsen", "demo")).await.unwrap();
        index.put_recording(&manifest(20_000, "12345678", "Ada Lovelace", "tax")).await.unwrap();
        let mut hidden = manifest(10_100, "anonymous", "", "demo");
        hidden.call.caller_name = None;
        index.put_recording(&hidden).await.unwrap();
        let window = Some((at(9_900), at(10_500)));
        let number = |text: &str| Some(text.to_owned().into());
        // By time alone: the call nearest to what was told first.
        let found = candidates(index, |w| (w.window, w.around) = (window, Some(at(10_290)))).await;
        assert_eq!(found, ["Kirsten Nielsen", "", "Mette Christensen"]);
        // The number decides; a slip of it comes after, a hidden one last; another number not at all.
        let found = candidates(index, |w| (w.window, w.number) = (window, number("+45 12 34 56 78"))).await;
        assert_eq!(found, ["Mette Christensen", "Kirsten Nielsen", ""]);
        assert_eq!(candidates(index, |w| (w.window, w.number) = (window, number("87654321"))).await, [""]);
        let found = candidates(index, |w| (w.window, w.name) = (window, number("Kristensen"))).await;
        assert_eq!(found, ["Mette Christensen", "Kirsten Nielsen", ""]);
        let found = candidates(index, |w| (w.window, w.name) = (window, number("Lovelace"))).await;
        assert_eq!(found, [""]);
        // By the number called, with and without a window; another one called excludes a call.
        let found =
            candidates(index, |w| (w.window, w.called_number) = (window, number("70 10 10 10"))).await;
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(candidates(index, |w| w.called_number = number("1010")).await.len(), 4);
        let none = |w: &mut Wanted| (w.window, w.called_number) = (window, number("87654321"));
        assert_eq!(candidates(index, none).await, Vec::<String>::new());
        let both = |w: &mut Wanted| (w.number, w.called_number) = (number("12345678"), number("70101010"));
        assert_eq!(candidates(index, both).await, ["Mette Christensen", "Ada Lovelace"]);
        // A moment within the call or its tolerance counts, not only its start.
        assert_eq!(candidates(index, |w| w.window = Some((at(20_004), at(20_500)))).await, ["Ada Lovelace"]);
        // Without a time the number is needed, whole or by its end.
        assert_eq!(candidates(index, |w| w.number = number("345678")).await.len(), 2);
        // Or the name, misspelt or not.
        for name in ["Ada", "Lovelase", "Adda Lovlace", "lovelace ada"] {
            let found = candidates(index, |w| w.name = number(name)).await;
            assert_eq!(found, ["Ada Lovelace"], "{name}");
        }
        let found = candidates(index, |w| w.name = number("Kristensen")).await;
        assert_eq!(found, ["Mette Christensen", "Kirsten Nielsen"]);
        let of = async |department: &str| {
            let wanted =
                |w: &mut Wanted| (w.name, w.department) = (number("Lovelase"), Some(department.into()));
            candidates(index, wanted).await.len()
        };
        assert_eq!((of("tax").await, of("demo").await, of("none").await), (1, 0, 0));
        let tax =
            candidates(index, |w| (w.number, w.department) = (number("12345678"), Some("tax".into()))).await;
        assert_eq!(tax, ["Ada Lovelace"]);
        let all = index.of_caller("0045 12345678", &Departments::All).await.unwrap();
        assert_eq!(all.len(), 2);
        index.mark_erased(all[0], at(30_000)).await.unwrap();
        assert_eq!(index.of_caller("12345678", &Departments::All).await.unwrap(), all[1..]);
    })
    .await;
}

#[tokio::test]
async fn what_was_too_old_at_any_moment_can_be_told() {
    on_each(async |index| {
        let at = |days: i64| WallTime::from_unix_micros(1_000_000_000).plus_days(days);
        let (one, two) =
            (manifest(1_000, "12345678", "A", "demo"), manifest(1_000 + 86_400, "12345678", "B", "demo"));
        index.put_recording(&one).await.unwrap();
        index.put_recording(&two).await.unwrap();
        index.mark_erased(one.call.id, at(92)).await.unwrap();
        let aged = async |days: i64| index.aged(at(days), 3_600_000_000, 10).await.unwrap();
        let before = aged(89).await;
        assert_eq!((before.live, before.overdue_total), (2, 0));
        let late = aged(91).await;
        assert_eq!((late.live, late.overdue_total, late.overdue[0].id), (2, 1, one.call.id));
        assert_eq!(late.overdue[0].erased_at, Some(at(92)));
        let now = aged(93).await;
        assert_eq!((now.live, now.overdue_total, now.overdue[0].id), (1, 1, two.call.id));
        assert_eq!(aged(0).await.live, 1);
    })
    .await;
}

#[tokio::test]
async fn after_a_fail_over_of_postgresql_a_standby_is_neither_read_nor_written_and_the_new_primary_is_used() {
    let Some(postgres) = Postgres::start() else { return };
    let index = Index::open(&postgres.place(), "45").await.unwrap();
    let put = async |at_s| index.put_recording(&manifest(at_s, "12345678", "Ada", "demo")).await;
    put(1_000).await.unwrap();
    let query = Query { most: 10, ..Query::default() };
    let refused = async || index.search(&query).await.is_err() && index.probe().await.is_err();
    assert_eq!(index.search(&query).await.unwrap().total, 1);

    postgres.becomes_standby();
    assert!(refused().await, "what a standby says may be old");
    postgres.promote();
    put(2_000).await.unwrap();
    assert_eq!(index.search(&query).await.unwrap().total, 2);

    // Connections that are open go on to a server that takes no writes any more.
    postgres.set("default_transaction_read_only = on");
    becomes("the server is known to be read-only", refused).await;
    postgres.set("default_transaction_read_only = off");
    becomes("it is used again", async || put(3_000).await.is_ok()).await;
    assert_eq!(index.search(&query).await.unwrap().total, 3);
}

#[tokio::test]
async fn why_postgresql_does_not_answer_is_told() {
    for (address, why) in [
        ("postgres://optag@127.0.0.1:1/optag", "refused"),
        ("postgres://optag@%2Fnowhere/optag", "No such file"),
        ("postgres://optag@nowhere.invalid,127.0.0.1:1/optag", "lookup"),
    ] {
        let index = Index::open(&IndexPlace::postgres(address).unwrap(), "45").await.unwrap();
        let said = index.probe().await.unwrap_err().to_string();
        assert!(said.contains(why), "{address}: {said}");
    }
}

#[tokio::test]
async fn who_cannot_listen_on_a_standby_leaves_no_connection_there() {
    let Some(postgres) = Postgres::start() else { return };
    let index = Index::open(&postgres.place(), "45").await.unwrap();
    postgres.becomes_standby();
    // Three attempts, five seconds apart.
    let woken = tokio::sync::Notify::new();
    let tries = tokio::time::timeout(std::time::Duration::from_secs(11), index.follow_early(&woken));
    assert!(tries.await.is_err());
    becomes("its connections are closed", async || {
        let mut asked = sqlx::PgConnection::connect(&postgres.address()).await.unwrap();
        let left =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE query ILIKE '%listen%' AND pid <> pg_backend_pid()";
        sqlx::query(left).fetch_one(&mut asked).await.unwrap().get::<i64, _>(0) == 0
    })
    .await;
}

#[tokio::test]
async fn of_several_postgresql_servers_the_one_that_takes_writes_is_used() {
    let (Some(one), Some(two)) = (Postgres::start(), Postgres::start()) else { return };
    let hosts = format!("%2Fnowhere,{},{}", one.host(), two.host());
    let address = format!("postgres://optag@{hosts}/postgres?target_session_attrs=read-write");
    let index = Index::open(&IndexPlace::postgres(&address).unwrap(), "45").await.unwrap();
    let put = async |at_s| index.put_recording(&manifest(at_s, "12345678", "Ada", "demo")).await;
    let rows = async |server: &Postgres| {
        let index = Index::open(&server.place(), "45").await.unwrap();
        index.search(&Query { most: 10, ..Query::default() }).await.unwrap().total
    };
    put(1_000).await.unwrap();
    assert_eq!(rows(&one).await, 1, "the first of those that answer");
    one.becomes_standby();
    index.probe().await.unwrap();
    put(2_000).await.unwrap();
    assert_eq!(rows(&two).await, 1);
    two.crash();
    assert!(index.probe().await.is_err(), "none takes writes");
    one.promote();
    index.probe().await.unwrap();
    put(3_000).await.unwrap();
    assert_eq!(rows(&one).await, 2);
    two.begin();
}

#[tokio::test]
async fn the_clock_of_a_postgresql_server_is_a_second_source_of_time() {
    let Some(postgres) = Postgres::start() else { return };
    let index = Index::open(&postgres.place(), "45").await.unwrap();
    let before = jiff::Timestamp::now().as_microsecond();
    let told = index.clock().await.unwrap().expect("it has a clock").as_unix_micros();
    let after = jiff::Timestamp::now().as_microsecond();
    // The server runs on this machine.
    assert!((before..=after).contains(&told), "{before} {told} {after}");
    let file = tempfile::tempdir().unwrap();
    let sqlite = Index::open(&IndexPlace::Sqlite(file.path().join("i.sqlite")), "45").await.unwrap();
    assert_eq!(sqlite.clock().await.unwrap(), None, "a file's clock is our own");
    postgres.crash();
    assert!(index.clock().await.is_err());
    postgres.begin();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_calls_are_recorded_and_their_rows_follow() {
    let Some(postgres) = Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let extra = format!("[index]\npostgres = \"{}\"\n", postgres.address());
    let server =
        Server::start(dir.path(), &Settings { extra, ..Settings::with_ports((23_900, 23_940)) }).await;
    let first = record(&server).await;
    server.stored(&first).await;

    postgres.crash();
    let second = record(&server).await;
    let (status, answer) = server.ask("GET", "/api/v1/recordings?purpose=training", None).await;
    assert_eq!(status, 503, "a search finds nothing it can rely on: {answer}");
    becomes("a word on the index", async || server.health("/readyz").await.1.contains("rows are queued"))
        .await;
    let (store, object) = (dir.path().join("data/store"), format!("{second}.opus"));
    becomes("an object without its row", async || {
        files_below(&store).iter().any(|(file, _)| file.to_string_lossy().contains(&object))
    })
    .await;

    // What needs the index to be safe says so.
    let path = format!("/api/v1/recordings/{first}?reason=asked&request=R-1");
    assert_eq!(server.ask("DELETE", &path, None).await.0, 503);

    postgres.begin();
    server.stored(&second).await;
    let (status, receipt) = server.ask("DELETE", &path, None).await;
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(server.recordings().await, 1);
    becomes("no word on it any more", async || !server.health("/readyz").await.1.contains("rows are queued"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_one_postgresql_find_play_and_erase_each_others_recordings() {
    let Some(postgres) = Postgres::start() else { return };
    let (dirs, store) =
        ([tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()], tempfile::tempdir().unwrap());
    let node = async |n: usize, ports| {
        let extra = format!(
            "[index]\npostgres = \"{}\"\n[store]\ndir = \"{}\"\n[seal]\nescrow_to = \"store\"\n",
            postgres.address(),
            store.path().display()
        );
        let env = vec![("OPTAG_MASTER_KEY".to_owned(), "5c".repeat(32))];
        Server::start(dirs[n].path(), &Settings { extra, env, ..Settings::with_ports(ports) }).await
    };
    let (one, other) = (node(0, (23_950, 23_970)).await, node(1, (23_972, 23_990)).await);
    let id = record(&one).await;
    one.stored(&id).await;
    let kept = record(&other).await;
    other.stored(&kept).await;
    for (node, id) in [(&one, &kept), (&other, &id)] {
        assert_eq!(node.recordings().await, 2);
        let audio = node.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await;
        assert_eq!(&audio[..4], b"OggS");
    }
    let (status, receipt) =
        other.ask("DELETE", &format!("/api/v1/recordings/{id}?reason=asked&request=R-1"), None).await;
    assert_eq!(status, 200, "{receipt}");
    for node in [&one, &other] {
        assert_eq!(node.recordings().await, 1);
        let path = format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training");
        assert_eq!(node.ask("GET", &path, None).await.0, 410);
    }
}

#[tokio::test]
async fn a_recording_is_found_by_what_became_of_its_streams() {
    use StreamVerdict::{Late, Ok, OneWay, PartlyLate};
    on_each(async |index| {
        let kinds = [vec![], vec![Ok, Ok], vec![Ok, Late], vec![OneWay, PartlyLate]];
        for (n, verdicts) in kinds.iter().enumerate() {
            let row = manifest(1_700_000_000 + n as i64, "12345678", "Hansen", "demo");
            let row = Manifest { verdicts: verdicts.clone(), ..row };
            index.put_recording(&row).await.unwrap();
            assert_eq!(index.get(row.id()).await.unwrap().unwrap().verdicts, *verdicts);
        }
        for (wanted, found) in
            [("fault", 2), ("ok", 1), ("late", 1), ("one_way", 1), ("partly_late", 1), ("refused", 0)]
        {
            let verdict = wanted.parse().ok();
            assert_eq!(count(index, |query| query.verdict = verdict).await, found, "{wanted}");
        }
    })
    .await;
}
