//! Holds the documentation to the tree: modules and paths that it names exist.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use optag_testing::tree::{files_below, root, text};

/// Every module with its text, by its path from the crate and by each end of that path: `media::rtp::srtp`,
/// `rtp::srtp`, `srtp`.
fn modules() -> BTreeMap<String, String> {
    let files = ["src", "crates", "tests"].into_iter().flat_map(|dir| files_below(&root().join(dir), ".rs"));
    let mut modules = BTreeMap::<String, String>::new();
    for file in files {
        let text = text(&file);
        let file = file.strip_prefix(root()).unwrap().display().to_string();
        let path = file.trim_end_matches(".rs").trim_start_matches("crates/").trim_start_matches("optag-");
        let parts: Vec<_> = path.split('/').filter(|part| !["src", "mod", "lib"].contains(part)).collect();
        for from in 0..parts.len() {
            modules.entry(parts[from..].join("::")).or_default().push_str(&text);
        }
    }
    modules
}

fn documents() -> Vec<PathBuf> {
    let docs = files_below(&root().join("docs"), ".md");
    let top = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "docker/README.md"];
    docs.into_iter().chain(top.map(|file| root().join(file))).collect()
}

/// What stands between backticks, word by word, with the document that has it. Blocks of code are left out.
fn words() -> Vec<(String, String)> {
    let mut words = Vec::new();
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().display().to_string();
        let text = text(&document);
        for prose in text.split("```").step_by(2) {
            let spans = prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
            let parts = spans.flat_map(|span| span.split([' ', ',']));
            words.extend(parts.map(|word| (name.clone(), word.trim_matches(['(', ')', '.']).to_owned())));
        }
    }
    words
}

#[test]
fn every_module_that_the_documentation_names_exists() {
    let modules = modules();
    let known = |path: &[&str]| modules.contains_key(&path.join("::"));
    let item = |path: &[&str]| {
        let Some((last, inner)) = path.split_last() else { return true };
        let text = modules.get(&inner.join("::"));
        text.is_some_and(|text| {
            ["fn", "mod", "const"].iter().any(|kind| text.contains(&format!("{kind} {last}")))
        })
    };
    let mut missing = Vec::new();
    for (document, word) in words() {
        let is_path = word.contains("::") && word.chars().all(|c| c.is_alphanumeric() || "_:…".contains(c));
        if !is_path {
            continue;
        }
        // Without the test, the type and the constant at its end; the names of tests are held by `tidy`.
        let parts = word.trim_start_matches("optag_").split("::");
        let is_module = |part: &&str| {
            part.matches('_').count() < 3 && !part.contains('…') && !part.starts_with(char::is_uppercase)
        };
        let path: Vec<_> = parts.take_while(is_module).collect();
        if !known(&path) && !item(&path) {
            missing.push(format!("{document}: {word}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_path_that_the_documentation_names_exists() {
    const TOP: [&str; 10] = [
        "src/",
        "crates/",
        "docs/",
        "tests/",
        "docker/",
        "contrib/",
        "examples/",
        "benches/",
        "fuzz/",
        ".ci/",
    ];
    let mut missing = Vec::new();
    for (document, word) in words() {
        let is_path =
            TOP.iter().any(|top| word.starts_with(top)) && !word.contains(['…', '*', '<', '{', '$']);
        if is_path && !Path::new(&root().join(&word)).exists() {
            missing.push(format!("{document}: {word}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
