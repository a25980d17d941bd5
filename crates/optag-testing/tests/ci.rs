//! Keeps the forge's checks (`.github/workflows/ci.yml`) and those of `.ci/run` the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
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
