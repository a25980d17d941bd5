//! Holds the dashboards to the catalogue of metrics.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use optag_testing::tree::{files_below, root, text};
use serde_json::Value;

/// Every dashboard: its file and what it says.
fn dashboards() -> Vec<(PathBuf, Value)> {
    let files = files_below(&root().join("docker/grafana/dashboards"), ".json");
    files
        .into_iter()
        .map(|file| (file.clone(), serde_json::from_str(&text(&file)).expect("a dashboard is JSON")))
        .collect()
}

fn list<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

/// The names of metrics in a query, without what a histogram's series add.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("optag_") || word.starts_with("process_"));
    let plain = |name: &str| {
        let histogram = ["_bucket", "_count", "_sum"].into_iter().find_map(|end| name.strip_suffix(end));
        histogram.unwrap_or(name).to_owned()
    };
    names.map(plain).collect()
}

/// The names of the reference, which is written from the catalogue.
fn catalogue() -> BTreeSet<String> {
    let page = text(&root().join("docs/reference/metrics.md"));
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_dashboard_is_a_page_of_its_own_and_every_panel_says_what_it_shows() {
    let mut wrong = Vec::new();
    let dashboards = dashboards();
    assert!(dashboards.len() >= 5);
    for (file, page) in &dashboards {
        let name = file.file_stem().unwrap().to_string_lossy();
        if page["uid"] != *name || !page["description"].is_string() {
            wrong.push(format!("{name}: uid or description"));
        }
        let ids: BTreeSet<_> = list(page, "panels").iter().map(|panel| panel["id"].as_u64()).collect();
        if ids.len() != list(page, "panels").len() {
            wrong.push(format!("{name}: two panels have one id"));
        }
        for panel in list(page, "panels").iter().filter(|panel| panel["type"] != "row") {
            let says = |key: &str| panel[key].as_str().is_some_and(|text| !text.is_empty());
            let unit = panel["fieldConfig"]["defaults"]["unit"].is_string();
            if !says("title") || !says("description") || !unit || list(panel, "targets").is_empty() {
                wrong.push(format!("{name}: {}: title, description, unit or query", panel["title"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dashboards_ask_for_metrics_that_exist_and_every_metric_is_on_one() {
    let mut asked = BTreeSet::new();
    for (_, page) in dashboards() {
        let targets = list(&page, "panels").iter().flat_map(|panel| list(panel, "targets"));
        targets.for_each(|target| asked.extend(metrics_in(target["expr"].as_str().unwrap())));
    }
    let differ: Vec<_> = asked.symmetric_difference(&catalogue()).cloned().collect();
    assert!(differ.is_empty(), "on a dashboard or in the catalogue alone: {differ:?}");
}
