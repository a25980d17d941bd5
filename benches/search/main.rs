//! Search of an index of a million recordings: how long each kind takes, beside the statements that it
//! took the place of, in one run; the plans of its queries; and eight searchers beside one writer.
//!
//! `cargo bench --bench search -- [ROWS] [postgres://…]`: SQLite in a directory of its own, and the empty database that is
//! named, if any.

mod corpus;
mod kinds;
mod plans;

use std::time::{Duration, Instant};

use optag::index::{Index, IndexPlace};

/// Searches of a kind.
const ROUNDS: usize = 41;
/// Searches of a kind by the statements of before, which may take a second each.
const ROUNDS_BEFORE: usize = 5;
/// What a search may take. Units: ms.
const MUST_MS: f64 = 50.0;
/// How long the writer is watched, alone and beside the searchers.
const WATCHED: Duration = Duration::from_secs(15);

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rows = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let statements = plans::Statements::collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("index.sqlite");
        let place = IndexPlace::Sqlite(file.clone());
        drop(Index::open(&place, "45").await?);
        corpus::sqlite(&file, rows).await?;
        println!("SQLite, {rows} recordings, {} MiB", std::fs::metadata(&file)?.len() >> 20);
        measure(&place, &kinds::Before::sqlite(&file).await?, &statements, rows).await?;
        if let Some(address) = words.iter().find(|word| word.starts_with("postgres")) {
            let place = IndexPlace::postgres(address)?;
            drop(Index::open(&place, "45").await?);
            corpus::postgres(address, rows).await?;
            println!("\nPostgreSQL, {rows} recordings");
            measure(&place, &kinds::Before::postgres(address).await?, &statements, rows).await?;
        }
        Ok(())
    })
}

async fn measure(
    place: &IndexPlace,
    before: &kinds::Before,
    statements: &plans::Statements,
    rows: u64,
) -> anyhow::Result<()> {
    let index = Index::open(place, "45").await?;
    println!(
        "{:<34} {:>7} {:>9} {:>9} {:>11} {:>7}",
        "search", "found", "p50 ms", "p95 ms", "before p50", "ratio"
    );
    let mut slow = Vec::new();
    for kind in kinds::all(rows) {
        let mut found = 0;
        let mut took = Vec::new();
        for n in 0..ROUNDS {
            let began = Instant::now();
            found = kind.search(&index, n).await?;
            took.push(began.elapsed());
        }
        let mut took_before = Vec::new();
        for n in 0..ROUNDS_BEFORE {
            let began = Instant::now();
            if before.search(&kind, n).await? {
                took_before.push(began.elapsed());
            }
        }
        let (p50, p95) = (percentile(&mut took, 50), percentile(&mut took, 95));
        let was = (!took_before.is_empty()).then(|| percentile(&mut took_before, 50));
        let was = was
            .map_or(("–".into(), "–".into()), |was| (format!("{was:.1}"), format!("{:.1}", was / p50)));
        println!("{:<34} {found:>7} {p50:>9.1} {p95:>9.1} {:>11} {:>7}", kind.name, was.0, was.1);
        if p95 > MUST_MS {
            slow.push(kind.name);
        }
    }
    println!(
        "over {MUST_MS} ms at the 95th percentile: {}",
        if slow.is_empty() { "none".into() } else { slow.join("; ") }
    );
    beside_a_writer(&index, rows).await?;
    println!("\nplans");
    for kind in kinds::all(rows) {
        statements.begin();
        kind.search(&index, 3).await?;
        println!("- {}", kind.name);
        before.explain(statements.end()).await?;
    }
    Ok(())
}

/// How long writes take alone, and beside eight searchers.
async fn beside_a_writer(index: &Index, rows: u64) -> anyhow::Result<()> {
    let mut alone = write(index, rows, 0).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let searchers: Vec<_> = (0..8)
        .map(|who| {
            let (index, stopped) = (index.clone(), stopped.clone());
            tokio::spawn(async move {
                let (mut took, mut n) = (Vec::new(), who);
                while !*stopped.borrow() {
                    for kind in kinds::all(rows) {
                        let began = Instant::now();
                        kind.search(&index, n).await?;
                        took.push(began.elapsed());
                        n += 7;
                    }
                }
                anyhow::Ok(took)
            })
        })
        .collect();
    let mut beside = write(index, rows, 1).await?;
    stop.send(true)?;
    let mut searched = Vec::new();
    for searcher in searchers {
        searched.extend(searcher.await??);
    }
    for (what, took) in [
        ("one write, alone", &mut alone),
        ("one write, beside eight searchers", &mut beside),
        ("one search of any kind by one of eight", &mut searched),
    ] {
        let count = took.len();
        println!(
            "{what}: p50 {:.1} ms, p95 {:.1} ms, {count} in {} s",
            percentile(took, 50),
            percentile(took, 95),
            WATCHED.as_secs()
        );
    }
    Ok(())
}

/// Writes rows, one in 30 ms as a busy recorder's deliveries come.
async fn write(index: &Index, rows: u64, run: u64) -> anyhow::Result<Vec<Duration>> {
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < WATCHED {
        let manifest = corpus::manifest(rows + run * 100_000 + took.len() as u64);
        let at = Instant::now();
        index.put_recording(&manifest).await?;
        took.push(at.elapsed());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(took)
}

/// Units: ms.
fn percentile(took: &mut [Duration], percent: usize) -> f64 {
    took.sort();
    took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)))
        .map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
