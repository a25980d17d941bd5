//! Keeps the checks together: those of the forge (`.github/workflows/ci.yml`) are those of `.ci/run`, and the slips of
//! `tests/mutants.toml` are of the code as it is.

use std::collections::BTreeMap;

use optag_testing::tree::{self, root};

fn text(path: &str) -> String {
    tree::text(&root().join(path))
}

/// Each `step "NAME" ./dev WORD …` of `.ci/run`: the name and what it runs, up to the first variable.
fn steps_here() -> BTreeMap<String, String> {
    let step = |line: &str| {
        let (name, command) = line.strip_prefix("step \"")?.split_once("\" ")?;
        let command = command.split(" \"$").next().unwrap_or_default();
        Some((name.to_owned(), command.trim().to_owned()))
    };
    text(".ci/run").lines().filter_map(step).collect()
}

/// Each named step of the workflow that runs `./dev`, with the line that does.
fn steps_on_the_forge() -> BTreeMap<String, String> {
    let mut steps = BTreeMap::new();
    let mut name = String::new();
    for line in text(".github/workflows/ci.yml").lines().map(str::trim) {
        if let Some(new) = line.strip_prefix("- name: ") {
            name = new.to_owned();
        } else if line.starts_with("- ") {
            name.clear();
        }
        let command = line.strip_prefix("run: ").unwrap_or(line);
        if command.starts_with("./dev ") {
            let command = command.split(" \"$").next().unwrap_or_default();
            steps.insert(std::mem::take(&mut name), command.to_owned());
        }
    }
    steps
}

#[test]
fn the_forge_runs_the_steps_that_ci_run_does() {
    let here = steps_here();
    assert!(here.len() >= 11, "the steps of .ci/run are not recognised: {here:?}");
    assert_eq!(here, steps_on_the_forge());
}

#[test]
fn the_oldest_rust_that_is_tested_is_the_one_that_is_promised() {
    let manifest = text("Cargo.toml");
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let workflow = text(".github/workflows/ci.yml");
    let tested: Vec<_> = workflow.lines().filter(|line| line.trim().starts_with("rust: [")).collect();
    assert_eq!(tested.len(), 2, "tests and lints");
    for line in tested {
        assert!(line.contains(&format!("[{oldest}, \"1\"]")), "{line} and rust-version = {oldest}");
    }
    let image = format!("FROM rust:{}-bookworm", oldest.trim_matches('"'));
    assert!(
        text("docker/Dockerfile").contains(&image),
        "docker/Dockerfile builds with another Rust than {image}"
    );
}

#[test]
fn every_slip_names_a_file_that_has_its_text_once() {
    let slips: toml::Table = text("tests/mutants.toml").parse().unwrap();
    let mut wrong = Vec::new();
    for slip in slips["mutant"].as_array().unwrap() {
        let (file, old) = (slip["file"].as_str().unwrap(), slip["old"].as_str().unwrap());
        let found = std::fs::read_to_string(root().join(file)).map_or(0, |text| text.matches(old).count());
        if found != 1 {
            wrong.push(format!("{file} has {found} of {old:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
