//! Names in the index: each way to them finds what looking at every row finds, and what is erased leaves none of its
//! letters.

use std::collections::{BTreeMap, BTreeSet};

use optag::index::likeness::{self, NAME_LEAST};
use optag::index::{Index, IndexPlace, Query, Wanted};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::index::{found_in_files, manifest};
use crate::postgres::Postgres;

async fn open(dir: &std::path::Path) -> Index {
    Index::open(&IndexPlace::Sqlite(dir.join("index.sqlite")), "45").await.unwrap()
}

/// The database behind the index's back.
async fn behind(dir: &std::path::Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("index.sqlite"));
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn is_whole(dir: &std::path::Path) {
    let mut connection = behind(dir).await;
    for of in ["names", "words"] {
        let check = format!("INSERT INTO {of}_trigrams ({of}_trigrams, rank) VALUES ('integrity-check', 1)");
        sqlx::query(AssertSqlSafe(check)).execute(&mut connection).await.unwrap();
    }
    let ok: String = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(ok, "ok");
}

async fn named(index: &Index, part: &str) -> u64 {
    let query = Query { name: Some(part.to_owned().into()), most: 10, ..Query::default() };
    index.search(&query).await.unwrap().total
}

fn trigrams(name: &str) -> BTreeSet<String> {
    name.chars().collect::<Vec<_>>().windows(3).map(|letters| letters.iter().collect()).collect()
}

#[tokio::test]
async fn of_calls_of_one_moment_one_that_is_erased_takes_no_other_along() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    // As an import of a table whose times are days has them.
    let all: Vec<_> = (0..1_200).map(|n| manifest(1_000, "1", &format!("Same Moment {n}"), "demo")).collect();
    for one in &all {
        index.put_recording(one).await.unwrap();
    }
    assert_eq!(named(&index, "moment").await, 1_200);
    for one in all.iter().skip(1).step_by(2) {
        index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
    }
    assert_eq!((named(&index, "moment").await, named(&index, "moment 77").await), (600, 5));
    for n in [0, 998, 1_198] {
        assert!(named(&index, &format!("moment {n}")).await > 0, "{n}");
    }
    // One that comes later is found like the others.
    index.put_recording(&manifest(1_000, "1", "Same Moment Late", "demo")).await.unwrap();
    assert_eq!((named(&index, "late").await, named(&index, "moment").await), (1, 601));
    is_whole(dir.path()).await;
}

#[tokio::test]
async fn invariant_08_no_letters_of_an_erased_name_or_number_are_left_in_any_file_of_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let others = ["Bo Jensen", "Mette Olsen", "Ida Holm"];
    for (n, name) in others.iter().enumerate() {
        let number = format!("2222000{n}");
        index.put_recording(&manifest(1_000 + n as i64, &number, name, "demo")).await.unwrap();
    }
    // Letters that no schema, department or other name has.
    let (name, number) = ("Qwxzvy Kjqgwx", "97319517");
    let one = manifest(2_000, number, name, "demo");
    index.put_recording(&one).await.unwrap();
    let folded = name.to_lowercase();
    let mut texts = trigrams(&folded);
    // Four digits: three of a number may stand in any id.
    texts.extend(number.as_bytes().windows(4).map(|four| String::from_utf8(four.to_vec()).unwrap()));
    texts.extend([name.to_owned(), number.to_owned()]);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let before = found_in_files(dir.path(), &texts);
    // FTS5 writes what trigrams share once; that they are all there is asked of it.
    assert!(before.len() > 8, "the search must be able to find something: {before:?}");
    index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
    let left = found_in_files(dir.path(), &texts);
    assert_eq!(left, [""; 0], "{left:?}");
    assert_eq!((named(&index, "qwx").await, named(&index, "jensen").await), (0, 1));
    is_whole(dir.path()).await;
}

#[tokio::test]
async fn invariant_08_no_page_of_a_large_index_is_found_by_letters_that_no_name_has_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    // Names of rare letters, so that most trigrams are one name's alone.
    let mut random = 7_u64;
    let mut name = || -> String {
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789%_-.+*";
        let letters: Vec<char> = letters.chars().collect();
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            letters[(random >> 33) as usize % letters.len()]
        };
        (0..12).map(|_| draw()).collect()
    };
    let all: Vec<_> = (0..2_000).map(|n| (n, name())).collect();
    let mut connection = behind(dir.path()).await;
    let mut kept = BTreeMap::new();
    let mut erased = Vec::new();
    for (n, name) in &all {
        let one = manifest(1_000 + n, "1", name, "demo");
        index.put_recording(&one).await.unwrap();
        match n % 4 {
            0 => erased.push((one.id(), name)),
            _ => drop(kept.insert(one.id(), name.clone())),
        }
    }
    for (id, _) in &erased {
        index.mark_erased(*id, WallTime::from_unix_micros(9)).await.unwrap();
    }
    let every = |name: &str| -> BTreeSet<String> {
        let words = name.split(['-', '.']).filter(|word| !word.is_empty());
        let texts = words.map(|word| format!(" {word} ")).chain([name.to_owned()]);
        texts.flat_map(|text| trigrams(&text)).collect()
    };
    let alive: BTreeSet<String> = kept.values().flat_map(|name| every(name)).collect();
    let gone: BTreeSet<String> = erased.iter().flat_map(|(_, name)| every(name)).collect();
    let gone: BTreeSet<String> = gone.difference(&alive).cloned().collect();
    assert!(gone.len() > 1_500, "{}", gone.len());
    let found = |rows: Vec<sqlx::sqlite::SqliteRow>| -> Vec<String> {
        let terms = rows.into_iter().map(|row| String::from_utf8(row.get::<Vec<u8>, _>(0)).unwrap());
        terms.filter(|term| term.get(1..).is_some_and(|term| gone.contains(term))).collect()
    };
    for of in ["names", "words"] {
        let pages = format!("SELECT CAST(term AS BLOB) FROM {of}_trigrams_idx");
        let pages = sqlx::query(AssertSqlSafe(pages)).fetch_all(&mut connection).await.unwrap();
        assert!(pages.len() > 10, "{of}: {}", pages.len());
        assert_eq!(found(pages), [""; 0], "{of}");
        let terms = format!("SELECT CAST('0' || term AS BLOB) FROM {of}_terms");
        let terms = sqlx::query(AssertSqlSafe(terms)).fetch_all(&mut connection).await.unwrap();
        assert_eq!(found(terms), [""; 0], "{of}");
    }
    is_whole(dir.path()).await;
    for name in kept.values().step_by(50) {
        assert_eq!(named(&index, name).await, 1, "{name}");
    }
}

/// A recording as it is looked for: all that a search by name may ask for.
#[derive(Clone, Debug)]
struct Known {
    id: CallId,
    at_us: i64,
    department: String,
    caller: String,
    name: String,
}

/// Numbers that look drawn.
struct Draw(u64);

impl Draw {
    fn of(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn word(&mut self) -> String {
        let letters =
            ["ka", "ri", "sen", "mo", "toe", "li", "ła", "be", "ns", "gu", "x%", "e_", "d\\", "(v", "pu"];
        let many = 2 + self.of(3);
        (0..many).map(|_| letters[self.of(letters.len())]).collect()
    }

    /// Some names come again and again, some have words that many have, and some are nobody else's.
    fn name(&mut self) -> String {
        let first = ["anna", "bo", "carl", "li", "anne-marie"][self.of(5)];
        let last = match self.of(10) {
            0..4 => ["jensen", "hansen", "olsen"][self.of(3)].to_owned(),
            _ => self.word(),
        };
        match self.of(4) {
            0 => format!("{first} {} {last}", self.word()),
            1 => format!("{first} {}-{last}", self.word()),
            _ => format!("{first} {last}"),
        }
    }
}

/// More recordings than any search looks at without knowing their names.
async fn very_many(connection: &mut AnyConnection, draw: &mut Draw) -> Vec<Known> {
    let mut all = Vec::new();
    for some in 0..16 {
        let mut sql = String::from(
            "INSERT INTO recordings (id, department, started_at_us, recording_started_at_us, ended_at_us, duration_ms,
                 caller_number, caller_number_norm, called_number, called_number_norm, caller_name,
                 caller_name_folded, object_bytes, object_sha256, expires_at_us) VALUES ",
        );
        for n in 0..500 {
            // Several calls of one moment.
            let at_us = 1_700_000_000_000_000 + (some * 500 + n) / 3 * 60_000_000;
            let id = CallId::new_at(WallTime::from_unix_micros(at_us));
            let (department, caller) =
                (["demo", "tax", "rare"][draw.of(50).min(2)], 10_000_000 + draw.of(30));
            // Names that are common among early calls alone.
            let name = if some < 2 && n % 3 == 0 { format!("early {}", draw.word()) } else { draw.name() };
            let comma = if n == 0 { "" } else { ", " };
            sql += &format!(
                "{comma}('{id}', '{department}', {at_us}, {at_us}, {at_us}, 1, '{caller}', '45{caller}', '70101010',
                     '4570101010', '{name}', '{name}', 1, '', {at_us})"
            );
            let (department, caller) = (department.to_owned(), format!("45{caller}"));
            all.push(Known { id, at_us, department, caller, name });
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    }
    all.sort_by_key(|one| std::cmp::Reverse((one.at_us, one.id.to_string())));
    all
}

async fn finds_names(index: &Index, all: &[Known], draw: &mut Draw) {
    let chosen =
        ["sen", "anna", "jensen", "a j", "early", "e-m", "bo", "n", "li", "%", "d\\", "qqq", "nna jen", "(v"];
    for n in 0..120 {
        let part = match chosen.get(n) {
            Some(part) => (*part).to_owned(),
            None => {
                let name: Vec<char> = all[draw.of(all.len())].name.chars().collect();
                let from = draw.of(name.len() - 2);
                name[from..from + 2 + draw.of(name.len() - from - 1)].iter().collect()
            }
        };
        // Blanks at the ends are none of the name that was asked for.
        let part = part.trim().to_owned();
        let department = [None, None, Some("tax"), Some("rare")][draw.of(4)];
        let number = [None, None, None, Some("10000007"), Some("70101010")][draw.of(5)];
        let from_us = [None, Some(1_700_050_000_000_000)][draw.of(2)];
        let fits = |one: &&Known| {
            one.name.contains(&part)
                && department.is_none_or(|department| one.department == department)
                && number.is_none_or(|number| one.caller.ends_with(number) || number == "70101010")
                && from_us.is_none_or(|from_us| one.at_us >= from_us)
        };
        let expected: Vec<CallId> = all.iter().filter(fits).map(|one| one.id).collect();
        let mut query = Query {
            name: Some(part.clone().into()),
            department: department.map(str::to_owned),
            number: number.map(|number| number.to_owned().into()),
            from: from_us.map(WallTime::from_unix_micros),
            most: 150,
            ..Query::default()
        };
        let (mut found, mut totals) = (Vec::new(), BTreeSet::new());
        loop {
            let page = index.search(&query).await.unwrap();
            found.extend(page.rows.iter().map(|row| row.id));
            totals.insert((page.total, page.more));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert!(found == expected, "{query:?} {part}: {} of {}", found.len(), expected.len());
        let expected = expected.len() as u64;
        let told = |(total, more): &(u64, bool)| if *more { *total <= expected } else { *total == expected };
        assert!(totals.iter().all(told), "{query:?} {part}: {totals:?} of {expected}");
    }
}

/// A name with a slip in one of its words.
fn misspelt(name: &str, draw: &mut Draw) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    // Where one word is made two, or two one, words are no guide.
    let inner = |at: usize| letters[at..at + 2].iter().all(|letter| !" -.,".contains(*letter));
    let all: Vec<usize> = (1..letters.len() - 1).filter(|at| inner(*at)).collect();
    let at = all[draw.of(all.len())];
    match draw.of(3) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        _ => letters[at] = 'e',
    }
    letters.into_iter().collect()
}

async fn finds_misspelt(index: &Index, all: &[Known], draw: &mut Draw) {
    let mut missed = Vec::new();
    for _ in 0..150 {
        let meant = &all[draw.of(all.len())];
        let asked = misspelt(&meant.name, draw);
        let likest = |name: &str| (likeness::name(&asked, name) * 100.0).round();
        if likeness::name(&asked, &meant.name) < NAME_LEAST {
            continue;
        }
        let wanted = Wanted { name: Some(asked.clone().into()), most: 50, ..Wanted::default() };
        let found = index.candidates(&wanted).await.unwrap();
        let first = found.candidates.first().and_then(|one| one.row.caller_name.clone());
        // One that is as like is as good.
        if first.as_ref().is_none_or(|first| likest(first.reveal()) < likest(&meant.name)) {
            missed.push((asked.clone(), meant.name.clone(), first.map(|first| first.reveal().clone())));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// What is known of names is what rows have, to the word.
async fn knows_what_rows_have(connection: &mut AnyConnection, all: &[Known]) {
    let mut read = async |sql: &'static str| -> BTreeSet<String> {
        let rows = sqlx::query(sql).fetch_all(&mut *connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    };
    let names: BTreeSet<String> = all.iter().map(|one| one.name.clone()).collect();
    let words = |name: &String| -> Vec<String> {
        let words = name.split([' ', '-', '.', ',']).filter(|word| !word.is_empty());
        words.map(|word| format!(" {word} ")).collect()
    };
    let words: BTreeSet<String> = names.iter().flat_map(words).collect();
    assert_eq!(read("SELECT folded FROM known_names").await, names);
    assert_eq!(read("SELECT padded FROM known_words").await, words);
    let used = "SELECT padded FROM known_words JOIN words_of_names ON word = known_words.number
        JOIN known_names ON known_names.number = words_of_names.name";
    assert_eq!(read(used).await, words);
}

async fn names_of_many(index: &Index, address: &str) {
    index.probe().await.unwrap();
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(address).await.unwrap();
    let mut draw = Draw(11);
    let mut all = very_many(&mut connection, &mut draw).await;
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    finds_names(index, &all, &mut draw).await;
    finds_misspelt(index, &all, &mut draw).await;
    knows_what_rows_have(&mut connection, &all).await;
    // The last of some names, and some of many.
    let mut n = 0;
    let goes = |one: &mut Known| {
        n += 1;
        n % 9 == 0 || one.name.starts_with("early b")
    };
    let erased: Vec<Known> = all.extract_if(.., goes).collect();
    for one in &erased {
        index.mark_erased(one.id, WallTime::from_unix_micros(9)).await.unwrap();
    }
    finds_names(index, &all, &mut draw).await;
    knows_what_rows_have(&mut connection, &all).await;
}

#[tokio::test]
async fn names_of_thousands_of_recordings_are_found_as_by_looking_at_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let address = format!("sqlite://{}", dir.path().join("index.sqlite").display());
    names_of_many(&index, &address).await;
    is_whole(dir.path()).await;
    if let Some(postgres) = Postgres::start() {
        let index = Index::open(&postgres.place(), "45").await.unwrap();
        names_of_many(&index, &postgres.address()).await;
    }
}

/// What rows that are not erased have, and what is known of names.
async fn known_as_rows_have(connection: &mut AnyConnection) {
    let rows = sqlx::query(
        "SELECT caller_name_folded FROM recordings WHERE erased_at_us IS NULL AND caller_name_folded IS NOT NULL",
    );
    let known = |row: &sqlx::any::AnyRow| Known {
        id: CallId::from_bytes([0; 16]),
        at_us: 0,
        department: String::new(),
        caller: String::new(),
        name: row.get(0),
    };
    let all: Vec<Known> = rows.fetch_all(&mut *connection).await.unwrap().iter().map(known).collect();
    knows_what_rows_have(connection, &all).await;
}

#[tokio::test]
async fn names_of_an_earlier_versions_postgresql_are_taken_in_while_rows_come_and_go() {
    let Some(postgres) = Postgres::start() else { return };
    sqlx::any::install_default_drivers();
    let dir = tempfile::tempdir().unwrap();
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/index/migrations/postgres");
    for file in std::fs::read_dir(here).unwrap() {
        let file = file.unwrap();
        if *file.file_name() < *"0040" {
            std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
    }
    let mut connection = AnyConnection::connect(&postgres.address()).await.unwrap();
    let migrator = sqlx::migrate::Migrator::new(dir.path()).await.unwrap();
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let mut draw = Draw(5);
    let all = very_many(&mut connection, &mut draw).await;
    // Two nodes at once.
    let index = Index::open(&postgres.place(), "45").await.unwrap();
    let other = Index::open(&postgres.place(), "45").await.unwrap();
    for (n, one) in all.iter().enumerate().step_by(40) {
        index.mark_erased(one.id, WallTime::from_unix_micros(9)).await.unwrap();
        let late = manifest(1_690_000_000 + n as i64, "1", &all[n + 1].name, "demo");
        other.put_recording(&late).await.unwrap();
    }
    loop {
        let left =
            sqlx::query("SELECT 1 AS one FROM names_fill").fetch_optional(&mut connection).await.unwrap();
        if left.is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    known_as_rows_have(&mut connection).await;
    assert!(named(&other, "jensen").await > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_write_and_erase_the_same_names_at_once_keep_what_is_known_of_them_right() {
    let Some(postgres) = Postgres::start() else { return };
    let nodes: Vec<Index> =
        futures::future::try_join_all((0..3).map(|_| async { Index::open(&postgres.place(), "45").await }))
            .await
            .unwrap();
    nodes[0].probe().await.unwrap();
    let names = ["Anna Jensen", "Jensen Anna", "Anna Bo", "Bo Jensen-Anna"];
    let tasks = nodes.into_iter().enumerate().map(|(who, index)| {
        tokio::spawn(async move {
            let mut draw = Draw(who as u64);
            for n in 0..60 {
                let one = manifest(1_000 + n, "1", names[draw.of(names.len())], "demo");
                index.put_recording(&one).await.unwrap();
                // Some stay for a while, the last of them for ever.
                if n < 50 || who == 0 {
                    index.mark_erased(one.id(), WallTime::from_unix_micros(9)).await.unwrap();
                }
            }
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap();
    }
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&postgres.address()).await.unwrap();
    known_as_rows_have(&mut connection).await;
}
