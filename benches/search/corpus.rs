//! Recordings of ninety days: names of which most end alike and some are rare, callers that call again, three numbers that
//! are called, twelve departments. The same each time.

use std::fmt::Write;
use std::path::Path;

use optag_core::call::CallFacts;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_media::fact::EndedBy;
use optag_storage::archive::manifest::Manifest;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

/// The first call. Units: µs since 1970.
pub(crate) const FIRST_US: i64 = 1_700_000_000_000_000;
/// Ninety days. Units: µs.
pub(crate) const SPAN_US: i64 = 90 * 86_400_000_000;
/// Rows of a statement.
const BATCH: u64 = 500;

const FIRST: [&str; 24] = [
    "mette", "soeren", "bo", "ada", "jens", "anne", "peter", "lars", "hanne", "kirsten", "karen", "niels",
    "ole", "li", "grete", "mikkel", "camilla", "louise", "frederik", "emma", "ida", "noah", "oscar", "clara",
];
const LAST: [&str; 20] = [
    "jensen",
    "nielsen",
    "hansen",
    "pedersen",
    "andersen",
    "christensen",
    "larsen",
    "soerensen",
    "rasmussen",
    "joergensen",
    "petersen",
    "madsen",
    "kristensen",
    "olsen",
    "thomsen",
    "christiansen",
    "poulsen",
    "johansen",
    "moeller",
    "mortensen",
];
const ENDS: [&str; 6] = ["gaard", "holm", "berg", "dal", "lund", "skov"];

/// A number that looks drawn, and is the same for the same `n`.
fn draw(n: u64, of: u64) -> u64 {
    let mut x = n.wrapping_add(of.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn pick<'a>(list: &[&'a str], n: u64, of: u64) -> &'a str {
    list[(draw(n, of) % list.len() as u64) as usize]
}

fn rare(n: u64, of: u64) -> String {
    let (consonants, vowels) = (b"bcdfghklmnprstvw", b"aeiouy");
    let mut name = String::new();
    let mut left = draw(n, of);
    for _ in 0..3 {
        name.push(char::from(consonants[(left % 16) as usize]));
        name.push(char::from(vowels[(left / 16 % 6) as usize]));
        left /= 96;
    }
    name + pick(&ENDS, n, of + 1)
}

/// The name of recording `n`.
pub(crate) fn name(n: u64) -> String {
    let middle = if draw(n, 1) % 10 < 4 { format!(" {}", rare(n, 2)) } else { String::new() };
    let last = if draw(n, 4) % 10 < 6 { pick(&LAST, n, 5).to_owned() } else { rare(n, 6) };
    format!("{}{middle} {last}", pick(&FIRST, n, 8))
}

/// Its caller's number, without the country's.
pub(crate) fn caller(n: u64) -> String {
    format!("{}", 20_000_000 + draw(n, 9) % 300_000 * 233)
}

/// The number that it called.
pub(crate) fn called(n: u64) -> &'static str {
    ["70101010", "70202020", "70303030"][(draw(n, 10) % 3) as usize]
}

pub(crate) fn department(n: u64) -> String {
    format!("d{}", draw(n, 11) % 12)
}

/// When it began, of so many.
pub(crate) fn at_us(n: u64, rows: u64) -> i64 {
    FIRST_US + (i128::from(SPAN_US) * i128::from(n) / i128::from(rows.max(1))) as i64
}

fn id(n: u64, at_us: i64) -> CallId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&(at_us / 1_000).to_be_bytes()[2..]);
    bytes[6..8].copy_from_slice(&[0x70, 0]);
    bytes[8..].copy_from_slice(&(draw(n, 12) >> 2 | 1 << 63).to_be_bytes());
    CallId::from_bytes(bytes)
}

fn values(rows: std::ops::Range<u64>, of: u64) -> String {
    let mut sql = String::from(
        "INSERT INTO recordings (id, department, started_at_us, recording_started_at_us, ended_at_us, duration_ms,
             caller_number, caller_number_norm, called_number, called_number_norm, caller_name, caller_name_folded,
             object_bytes, object_sha256, expires_at_us, verdicts, has_fault) VALUES ",
    );
    for n in rows.clone() {
        let (at, name, caller, called) = (at_us(n, of), name(n), caller(n), called(n));
        let fault = draw(n, 13).is_multiple_of(25);
        let verdicts = if fault { ",ok,late," } else { ",ok,ok," };
        let comma = if n == rows.start { "" } else { ", " };
        let _ = write!(
            sql,
            "{comma}('{}', '{}', {at}, {at}, {}, 180000, '+45{caller}', '45{caller}', '{called}', '45{called}',
              '{name}', '{name}', 1000000, '{}', {}, '{verdicts}', {})",
            id(n, at), department(n), at + 180_000_000, "ab".repeat(32), at + SPAN_US, i32::from(fault)
        );
    }
    sql
}

/// Fills a database with triggers and indexes put aside meanwhile.
pub(crate) async fn sqlite(file: &Path, rows: u64) -> anyhow::Result<()> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let put_aside =
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'recordings' AND sql IS NOT NULL
        AND type IN ('trigger', 'index')";
    let mut again = Vec::new();
    for row in sqlx::query(put_aside).fetch_all(&mut connection).await? {
        let (kind, name): (String, String) = (row.get(0), row.get(1));
        again.push(row.get::<String, _>(2));
        sqlx::raw_sql(AssertSqlSafe(format!("DROP {kind} {name}"))).execute(&mut connection).await?;
    }
    sqlx::raw_sql("PRAGMA synchronous = OFF; BEGIN").execute(&mut connection).await?;
    for first in (0..rows).step_by(BATCH as usize) {
        let sql = values(first..rows.min(first + BATCH), rows);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    let rest = "INSERT INTO live_counts SELECT started_at_us / 86400000000, department, COUNT(*) FROM recordings GROUP BY 1, 2;
        INSERT INTO known_names (folded) SELECT caller_name_folded FROM recordings GROUP BY 1 ORDER BY MIN(rowid);
        COMMIT";
    sqlx::raw_sql(rest).execute(&mut connection).await?;
    for sql in again {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// The same in PostgreSQL.
pub(crate) async fn postgres(address: &str, rows: u64) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(address).await?;
    let aside = "SELECT indexdef FROM pg_indexes WHERE indexname IN ('names_trigrams', 'words_trigrams')";
    let again = sqlx::query(aside).fetch_all(&mut connection).await?;
    let before =
        "ALTER TABLE recordings DISABLE TRIGGER USER; DROP INDEX names_trigrams; DROP INDEX words_trigrams";
    sqlx::raw_sql(before).execute(&mut connection).await?;
    for first in (0..rows).step_by(BATCH as usize) {
        let sql = values(first..rows.min(first + BATCH), rows);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    let rest = "INSERT INTO live_counts SELECT started_at_us / 86400000000, department, COUNT(*) FROM recordings
            GROUP BY 1, 2;
        INSERT INTO known_names (folded) SELECT caller_name_folded FROM recordings GROUP BY 1 ORDER BY MIN(started_at_us);
        CREATE TEMPORARY TABLE parted AS SELECT number AS name, ' ' || word || ' ' AS padded FROM known_names
            CROSS JOIN LATERAL (SELECT DISTINCT regexp_split_to_table(folded, '[-., ]') AS word) AS words WHERE word <> '';
        INSERT INTO known_words (padded) SELECT padded FROM parted GROUP BY 1 ORDER BY MIN(name);
        INSERT INTO words_of_names SELECT name, number FROM parted JOIN known_words USING (padded);
        ALTER TABLE recordings ENABLE TRIGGER USER";
    sqlx::raw_sql(rest).execute(&mut connection).await?;
    for row in again {
        let sql: String = row.get(0);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    for table in ["recordings", "known_names", "known_words", "words_of_names"] {
        sqlx::raw_sql(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

/// Recording `n` as a delivery has it, of a call that came after all others.
pub(crate) fn manifest(n: u64) -> Manifest {
    let started_at = WallTime::from_unix_micros(FIRST_US + SPAN_US + n as i64 * 1_000);
    Manifest {
        version: 1,
        call: CallFacts {
            id: CallId::new_at(started_at),
            department: department(n),
            started_at,
            retention_days: 90,
            caller_number: caller(n).into(),
            called_number: called(n).to_owned().into(),
            caller_name: Some(name(n).into()),
            external_id: None,
            streams: vec![],
            context: Default::default(),
        },
        recording_started_at: started_at,
        ended_at: started_at.plus_micros(180_000_000),
        ended_by: EndedBy::Feed,
        duration_ms: 180_000,
        expires_at: started_at.plus_days(90),
        consent: vec![],
        gaps: vec![],
        counts: vec![],
        verdicts: vec![],
        peaks_100ms: vec![],
        audio_bytes: 1_000_000,
        audio_rate_hz: 8_000,
        audio_sha256: "ab".repeat(32),
        object: None,
        stored: Default::default(),
        written_by: "bench".into(),
    }
}
