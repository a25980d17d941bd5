//! `docs/reference/metrics.md` is written from the catalogue, and held against it.
//!
//! `OPTAG_WRITE_REFERENCE=1 cargo test --lib metrics::reference` writes it anew.

use std::fmt::Write as _;

use super::catalog::{ALL, Kind, Metric};

const HEAD: &str = "# Metrics\n\
    `GET /metrics` on the listener of `[metrics]` answers in the text format of Prometheus. The table is written from \
    `src/metrics/catalog.rs`; a test holds them against each other. Series of labels with listed values exist from the \
    start. Alerts: `docker/prometheus-alerts.yml`.\n\n\
    | name | type | labels | meaning |\n|---|---|---|---|\n";

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter".to_owned(),
        Kind::Gauge => "gauge".to_owned(),
        Kind::Histogram(bounds) => {
            let ends = bounds.first().zip(bounds.last());
            ends.map_or_else(String::new, |(first, last)| {
                format!("histogram, {} bounds from {first} to {last}", bounds.len())
            })
        }
    };
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|(name, values)| match values {
            [] => format!("`{name}`"),
            _ => format!("`{name}`: {}", values.join(", ")),
        })
        .collect();
    format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join("; "), metric.help.replace('|', "\\|"))
}

#[test]
fn the_reference_lists_every_metric_as_the_catalogue_has_it() {
    let mut wanted = HEAD.to_owned();
    ALL.iter().for_each(|metric| wanted.write_str(&row(metric)).unwrap());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/metrics.md");
    if std::env::var_os("OPTAG_WRITE_REFERENCE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(
        found == wanted,
        "docs/reference/metrics.md is not what the catalogue says; its module says how to write it"
    );
}
