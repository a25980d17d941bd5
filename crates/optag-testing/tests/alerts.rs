//! Holds the alert rules to their runbooks and to their own tests.

use std::collections::BTreeSet;
use std::process::Command;

use optag_testing::tree::{files_below, root, text};

/// Every alert: its name and the text of its rule.
fn alerts() -> Vec<(String, String)> {
    let rules = text(&root().join("docker/prometheus-alerts.yml"));
    let rules: Vec<_> = rules.split("- alert: ").skip(1).collect();
    rules
        .iter()
        .filter_map(|rule| rule.split_once('\n'))
        .map(|(name, rule)| (name.into(), rule.into()))
        .collect()
}

fn runbooks() -> BTreeSet<String> {
    let pages = files_below(&root().join("docs/runbooks"), ".md");
    let names = pages.iter().filter_map(|page| Some(page.file_stem()?.to_string_lossy().into_owned()));
    names.filter(|name| name != "README").collect()
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let names: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 10 && names == runbooks(), "{:?}", names.symmetric_difference(&runbooks()));
}

#[test]
fn every_alert_says_how_urgent_it_is_and_where_its_runbook_is() {
    let mut wrong = Vec::new();
    for (name, rule) in alerts() {
        let has = |line: &str| rule.lines().any(|one| one.trim() == line);
        let urgency = ["critical", "warning"].into_iter().find(|one| has(&format!("severity: {one}")));
        let page = format!("docs/runbooks/{name}.md");
        if !has(&format!("runbook_url: {page}"))
            || !rule.contains("\n        for: ")
            || !rule.contains("summary: ")
        {
            wrong.push(format!("{name}: runbook_url, for or summary"));
        }
        let page = text(&root().join(page));
        let Some(urgency) = urgency else { panic!("{name} has no severity") };
        let opening = page.lines().nth(1).unwrap_or_default();
        if page.lines().next() != Some(&format!("# {name}")) || !opening.starts_with(&format!("`{urgency}`"))
        {
            wrong.push(format!("{name}: title or severity of its page"));
        }
        for section in ["**Look at**", "**Do**", "**Can it wait?**", "**If nothing is done:**"] {
            if !page.contains(section) {
                wrong.push(format!("{name}: its page lacks {section}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_fires_in_a_test_of_the_rules() {
    let tests = text(&root().join("docker/prometheus-alerts.test.yml"));
    let never = alerts().into_iter().filter(|(name, _)| !tests.contains(&format!("alertname=\"{name}\"")));
    let never: Vec<_> = never.map(|(name, _)| name).collect();
    assert!(never.is_empty(), "{never:?}");
}

#[test]
fn alerts_fire_when_they_should_and_not_before_by_promtool_where_it_is_installed() {
    let tests = root().join("docker/prometheus-alerts.test.yml");
    match Command::new("promtool").args(["test", "rules"]).arg(tests).output() {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => println!("skipped: promtool does not start: {error}"),
    }
}
