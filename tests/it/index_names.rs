//! The index of names: each recording has a place of its own, and what is erased leaves none of its letters.

use std::collections::{BTreeMap, BTreeSet};

use optag::index::{Index, IndexPlace, Query};
use optag_core::clock::WallTime;
use sqlx::{Connection, Row, SqliteConnection};

use crate::index::{found_in_files, manifest};

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
    let check = "INSERT INTO names_trigrams (names_trigrams, rank) VALUES ('integrity-check', 1)";
    sqlx::query(check).execute(&mut connection).await.unwrap();
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
async fn calls_of_one_moment_have_places_of_their_own_and_one_that_is_erased_takes_no_other_along() {
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
    // Those that come later may take a place that is free.
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
    let alive: BTreeSet<String> = kept.values().flat_map(|name| trigrams(name)).collect();
    let gone: BTreeSet<String> = erased.iter().flat_map(|(_, name)| trigrams(name)).collect();
    let gone: BTreeSet<String> = gone.difference(&alive).cloned().collect();
    assert!(gone.len() > 1_500, "{}", gone.len());
    let found = |rows: Vec<sqlx::sqlite::SqliteRow>| -> Vec<String> {
        let terms = rows.into_iter().map(|row| String::from_utf8(row.get::<Vec<u8>, _>(0)).unwrap());
        terms.filter(|term| term.get(1..).is_some_and(|term| gone.contains(term))).collect()
    };
    let pages = sqlx::query("SELECT CAST(term AS BLOB) FROM names_trigrams_idx").fetch_all(&mut connection);
    let pages = pages.await.unwrap();
    assert!(pages.len() > 30, "{}", pages.len());
    assert_eq!(found(pages), [""; 0]);
    let terms = sqlx::query("SELECT CAST('0' || term AS BLOB) FROM names_terms").fetch_all(&mut connection);
    assert_eq!(found(terms.await.unwrap()), [""; 0]);
    is_whole(dir.path()).await;
    for name in kept.values().step_by(50) {
        assert_eq!(named(&index, name).await, 1, "{name}");
    }
}
