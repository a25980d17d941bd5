//! The index on each database that it can lie in: what callers tell finds their recordings, what is
//! due is known, what is erased is gone.

use optag::archive::manifest::Manifest;
use optag::base::clock::WallTime;
use optag::base::id::CallId;
use optag::base::private::Private;
use optag::call::{CallFacts, StreamVerdict};
use optag::index::{Candidate, Index, IndexError, IndexPlace, Query, Wanted};
use optag::media::output::EndedBy;

use crate::erasure::{becomes, record};
use crate::postgres::Postgres;
use crate::server::{Server, Settings, files_below};

fn manifest(at_s: i64, number: &str, name: &str, department: &str) -> Manifest {
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

/// Runs a check on an empty index of every kind there is here.
async fn on_each(check: impl AsyncFn(&Index)) {
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

/// Whether one of these texts is in any file of the directory: the database, its write-ahead log, its
/// shared memory and whatever else lies there.
fn found_in_files(dir: &std::path::Path, texts: &[&str]) -> Vec<String> {
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
    // A backup or a person with `sqlite3`, in the middle of reading.
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
    // Meanwhile nobody else waits for that reader.
    index.put_recording(&manifest(2_000, "1", "Ada", "demo")).await.unwrap();
    ask("COMMIT", &mut reader).await;
    index.mark_erased(one.id(), at).await.unwrap();
    assert_eq!(found_in_files(dir.path(), &PERSONAL), [""; 0]);
}

#[tokio::test]
async fn what_is_due_comes_oldest_first_and_erased_rows_not_at_all() {
    on_each(async |index| {
        let (old, new) = (manifest(1_000, "1", "A", "demo"), manifest(2_000, "2", "B", "demo"));
        index.put_recording(&new).await.unwrap();
        index.put_recording(&old).await.unwrap();
        let later = new.expires_at;
        assert_eq!(index.due(later, 10).await.unwrap(), [old.id(), new.id()]);
        assert_eq!(index.due(old.expires_at, 10).await.unwrap(), [old.id()]);
        index.mark_erased(old.id(), later).await.unwrap();
        assert_eq!(index.due(later, 10).await.unwrap(), [new.id()]);
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
        // A moment within the call or its tolerance counts, not only its start.
        assert_eq!(candidates(index, |w| w.window = Some((at(20_004), at(20_500)))).await, ["Ada Lovelace"]);
        // Without a time the number is needed, whole or by its end.
        assert_eq!(candidates(index, |w| w.number = number("345678")).await.len(), 2);
        assert_eq!(candidates(index, |w| w.name = number("Ada")).await.len(), 0);
        let tax =
            candidates(index, |w| (w.number, w.department) = (number("12345678"), Some("tax".into()))).await;
        assert_eq!(tax, ["Ada Lovelace"]);
        let all = index.of_caller("0045 12345678").await.unwrap();
        assert_eq!(all.len(), 2);
        index.mark_erased(all[0], at(30_000)).await.unwrap();
        assert_eq!(index.of_caller("12345678").await.unwrap(), all[1..]);
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
    becomes("a word on the index", async || server.health("/readyz").await.1.contains("rows wait")).await;
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
    becomes("no word on it any more", async || !server.health("/readyz").await.1.contains("rows wait")).await;
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
