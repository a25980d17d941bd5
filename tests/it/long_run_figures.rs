//! What a recorder holds after years: figures of a long deletion log, and of a report on two million objects. Not
//! run by themselves:
//! `cargo test --test it long_run_figures -- --ignored --nocapture --test-threads 1`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use optag::erasure::deletion_log::entry::{Entry, line};
use optag::erasure::deletion_log::{Cause, DeletionLog, Done, Order};
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::lying_s3::double::{Double, Many};
use crate::lying_s3::recorder;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A line of `/proc/…/status`. Units: KiB.
fn status_kib(process: &str, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn erased(n: u64) -> CallId {
    CallId::new_at(WallTime::from_unix_micros(1_600_000_000_000_000 + n as i64 * 30_000_000))
}

#[test]
#[ignore = "figures: LOG_ENTRIES=4000000 cargo test --release --test it a_long_deletion_log -- --ignored --nocapture"]
fn figures_of_a_long_deletion_log() {
    let erasures = number("LOG_ENTRIES", 1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deletions.log");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let mut some = Vec::new();
    for n in 0..erasures {
        let (id, at) = (erased(n), WallTime::from_unix_micros(1_600_000_000_000_000 + n as i64));
        let order = Order { id, at, cause: Cause::Expiry, request: None };
        let gone = ["opus", "json"]
            .map(|end| format!("{}.{end}.age?versionId=null", optag_storage::store::names::stem(id)));
        for entry in
            [Entry::Ordered(order), Entry::Done(Done { id, at, gone: gone.into(), accepted_missing: false })]
        {
            file.write_all(line(&entry).unwrap().as_bytes()).unwrap();
        }
        if n.is_multiple_of(erasures / 1_000) {
            some.push(id);
        }
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    let before = status_kib("self", "VmRSS");
    let opened = |what: &str| {
        let began = Instant::now();
        let log = DeletionLog::open(&path).unwrap();
        let kib = status_kib("self", "VmRSS").saturating_sub(before);
        println!("{what}: {:.2} s, {} MiB resident more", began.elapsed().as_secs_f64(), kib >> 10);
        log
    };
    println!("{erasures} erasures, {} MiB", bytes >> 20);
    let log = opened("start without a table");
    println!(
        "most that was resident meanwhile: {} MiB",
        status_kib("self", "VmHWM").saturating_sub(before) >> 10
    );
    drop(log);
    let log = opened("start with its table");
    assert!(some.iter().all(|id| log.is_erased(*id)) && !log.is_erased(erased(erasures + 1)));
    let each = |what: &str, work: &dyn Fn(CallId)| {
        let mut took: Vec<Duration> = some
            .iter()
            .map(|id| {
                let began = Instant::now();
                work(*id);
                began.elapsed()
            })
            .collect();
        took.sort();
        let us = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e6;
        println!("{what}: p50 {:.1} µs, p95 {:.1} µs", us(50), us(95));
    };
    each("look-up", &|id| assert!(log.is_erased(id)));
    each("receipt's two lines", &|id| assert!(log.history(id).unwrap().unwrap().1.is_some()));
    let order = |n: u64| Order {
        id: erased(erasures + n),
        at: WallTime::default(),
        cause: Cause::Request,
        request: None,
    };
    let began = Instant::now();
    (0..100).for_each(|n| log.order(order(n)).unwrap());
    println!("an order, durable: {:.2} ms", began.elapsed().as_secs_f64() * 10.0);
    let head = log.head();
    let began = Instant::now();
    assert_eq!(log.relation(&head).unwrap(), optag::erasure::deletion_log::Relation::InStep);
    println!("comparison with a head: {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "figures: OBJECTS=2000000 cargo test --release --test it a_report_on_many -- --ignored --nocapture"]
async fn figures_of_a_report_on_many_objects() {
    let recordings = number("OBJECTS", 2_000_000) / 2;
    let double = Double::start().await;
    let first = WallTime::from_timestamp(jiff::Timestamp::now()).plus_days(-85);
    let many = Many { recordings, first_ms: first.as_unix_micros() / 1_000 };
    let dir = tempfile::tempdir().unwrap();
    let server = recorder(&double, dir.path(), (24_900, 24_940)).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("data/index.sqlite"));
    let mut rows = SqliteConnection::connect_with(&options).await.unwrap();
    for from in (0..recordings).step_by(1_000) {
        let mut sql = String::from(
            "INSERT INTO recordings (id, department, started_at_us, recording_started_at_us, ended_at_us, duration_ms,
                 object_bytes, object_sha256, expires_at_us) VALUES ",
        );
        for n in from..recordings.min(from + 1_000) {
            let id = many.id(n);
            let (at, comma) = (id.admitted_at(), if n == from { "" } else { ", " });
            let (us, end) = (at.as_unix_micros(), at.plus_days(90).as_unix_micros());
            write!(sql, "{comma}('{id}', 'demo', {us}, {us}, {us}, 1, 1, '', {end})").unwrap();
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut rows).await.unwrap();
    }
    rows.close().await.unwrap();
    double.state.lock().unwrap().many = Some(many);
    let pid = server.pid().to_string();
    let (began, resident) = (Instant::now(), || status_kib(&pid, "VmRSS") >> 10);
    println!("{} objects, {recordings} rows; resident before: {} MiB", 2 * recordings, resident());
    let mut seen = Vec::new();
    let mut path = "/api/v1/retention/report".to_owned();
    let report = loop {
        let (status, answer) = server.ask("GET", &path, None).await;
        seen.push((began.elapsed().as_secs(), resident()));
        match status {
            200 => break answer,
            202 => path = format!("/api/v1/retention/report?job={}", answer["job"]),
            _ => panic!("{status} {answer}"),
        }
    };
    for (at, mib) in seen.iter().step_by((seen.len() / 10).max(1)) {
        println!("after {at} s: {mib} MiB");
    }
    println!(
        "done after {:.0} s, most {} MiB",
        began.elapsed().as_secs_f64(),
        status_kib(&pid, "VmHWM") >> 10
    );
    let part = |name: &str| {
        report["parts"].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap().clone()
    };
    assert_eq!(part("store")["there"], 2 * recordings, "{report}");
    assert_eq!(
        (part("compared")["there"].as_u64(), part("compared")["amiss"].as_u64()),
        (Some(recordings), Some(0))
    );
    assert_eq!(report["clean"], true, "{report}");
}
