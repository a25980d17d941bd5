//! Keeps the tree as its architecture page draws it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use optag_testing::import_graph;
use optag_testing::tree::{files_below, is_test_file, root, text, without_unit_tests};

/// The stages' crates, each with those of ours that it may depend on. Their tests may depend on `optag-testing`.
const STAGES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("files", &[]),
    ("media", &["core"]),
    ("sip", &["core", "media"]),
    ("storage", &["core", "files", "media"]),
    ("testing", &["core", "files"]),
];

/// Files and folders of pure rules: no sockets, files, threads or clocks of the system.
const PURE: &[&str] = &[
    "crates/optag-core/src/call",
    "crates/optag-media/src/announce/audio.rs",
    "crates/optag-media/src/announce/player.rs",
    "crates/optag-media/src/call",
    "crates/optag-media/src/call.rs",
    "crates/optag-media/src/codec",
    "crates/optag-media/src/dtmf",
    "crates/optag-media/src/fact.rs",
    "crates/optag-media/src/filters.rs",
    "crates/optag-media/src/playout",
    "crates/optag-media/src/rtp",
    "crates/optag-media/src/stream",
    "crates/optag-media/src/stream.rs",
    "crates/optag-media/src/timebase.rs",
    "crates/optag-sip/src/ask/caller.rs",
    "crates/optag-sip/src/ask/invite.rs",
    "crates/optag-sip/src/ask/machine.rs",
    "crates/optag-sip/src/ask/requests.rs",
    "crates/optag-sip/src/ask/sending_on.rs",
    "crates/optag-sip/src/ask/server.rs",
    "crates/optag-sip/src/sdp",
    "crates/optag-sip/src/sip/dialog.rs",
    "crates/optag-sip/src/sip/message.rs",
    "crates/optag-sip/src/sip/parse.rs",
    "crates/optag-sip/src/sip/transaction.rs",
    "crates/optag-sip/src/siprec/metadata",
    "crates/optag-sip/src/siprec/parties",
    "crates/optag-sip/src/siprec/server.rs",
    "crates/optag-sip/src/siprec/session",
    "crates/optag-storage/src/archive/resample.rs",
    "crates/optag-storage/src/spool/frame.rs",
    "crates/optag-storage/src/spool/payload.rs",
    "crates/optag-storage/src/spool/record.rs",
    "crates/optag-storage/src/spool/recover.rs",
    "src/disclosure/sheet.rs",
    "src/import/table.rs",
    "src/time/trusted.rs",
];
/// Keeps its buffer for each thread.
const PER_THREAD: &str = "crates/optag-media/src/stream/decode_buffer.rs";
const IMPURE: &[&str] =
    &["std::fs", "std::thread", "UdpSocket", "TcpStream", "SystemTime", "Instant::now", "tokio::"];

/// Lines of a file without its tests.
const CEILING: usize = 420;

/// Every file below a folder of the checkout whose name ends so.
fn files_of(dir: &str, ending: &str) -> Vec<PathBuf> {
    files_below(&root().join(dir), ending)
}

/// Every Rust file of the program with its path and its text without unit tests.
fn sources() -> Vec<(String, String)> {
    let source = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, without_unit_tests(&text(&path)).to_owned())
    };
    ["src", "crates"].into_iter().flat_map(|dir| files_of(dir, ".rs")).map(source).collect()
}

#[test]
fn folders_use_one_another_in_one_direction() {
    let arrows = import_graph::read(&root());
    let circles = import_graph::circles(&import_graph::between_folders(&arrows));
    assert!(circles.is_empty(), "folders in a circle, `./dev graph` shows by what: {circles:#?}");
}

#[test]
fn no_circle_has_more_than_two_files() {
    let circles = import_graph::circles(&import_graph::read(&root()));
    let large: Vec<_> = circles.iter().filter(|circle| circle.len() > 2).collect();
    assert!(large.is_empty(), "files in a circle, `./dev graph --files` shows by what: {large:#?}");
}

#[test]
fn crates_depend_only_on_what_lies_to_their_left() {
    for (stage, allowed) in STAGES {
        let text = text(&root().join(format!("crates/optag-{stage}/Cargo.toml")));
        let dependencies = text.split("[dev-dependencies]").next().unwrap_or_default();
        for line in dependencies.lines().filter(|line| line.starts_with("optag-")) {
            let other = line.trim_start_matches("optag-").split(['.', ' ']).next().unwrap_or_default();
            assert!(allowed.contains(&other), "optag-{stage} may not depend on optag-{other}");
        }
    }
}

#[test]
fn pure_files_touch_no_socket_file_thread_or_clock() {
    let mut wrong = Vec::new();
    for (name, code) in sources().into_iter().filter(|(name, _)| !is_test_file(name)) {
        if name == PER_THREAD || !PURE.iter().any(|pure| Path::new(&name).starts_with(pure)) {
            continue;
        }
        let used = IMPURE.iter().filter(|impure| code.contains(**impure));
        wrong.extend(used.map(|impure| format!("{name} uses {impure}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_and_are_named_after_what_they_hold() {
    let mut wrong = Vec::new();
    for (name, code) in sources() {
        let lines = code.lines().count();
        if lines > CEILING && !is_test_file(&name) {
            wrong.push(format!("{name} has {lines} lines"));
        }
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy().into_owned();
        if ["utils", "util", "common", "helpers", "manager", "types"].contains(&stem.as_str()) {
            wrong.push(format!("{name} has a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_page_says_what_it_is() {
    let bare: Vec<_> =
        sources().into_iter().filter(|(_, code)| !code.starts_with("//!")).map(|(name, _)| name).collect();
    let bare: Vec<_> = bare.into_iter().filter(|name| !is_test_file(name)).collect();
    assert!(bare.is_empty(), "no module docs: {bare:?}");
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let mut functions = Vec::new();
    for file in ["src", "crates", "tests"].into_iter().flat_map(|dir| files_of(dir, ".rs")) {
        let text = text(&file);
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<', ' ']).next());
        functions.extend(names.map(str::to_owned));
    }
    let mut missing = Vec::new();
    for file in files_of("docs", ".md").into_iter().chain([root().join("ARCHITECTURE.md")]) {
        // The keys of a report are long words as well.
        if file.ends_with("performance.md") {
            continue;
        }
        let text = text(&file);
        for word in text.split('`').skip(1).step_by(2).flat_map(|span| span.split([' ', ','])) {
            let name = word.rsplit("::").next().unwrap_or_default();
            let is_test = name.matches('_').count() >= 3
                && !["optag_", "process_"].iter().any(|prefix| name.starts_with(prefix))
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_…".contains(c));
            let mut parts = name.split('…');
            let (head, middle) = (parts.next().unwrap_or_default(), parts.next());
            let found = |function: &String| match middle {
                None => function == name,
                Some(middle) => function.starts_with(head) && function.contains(middle),
            };
            if is_test && !functions.iter().any(found) {
                missing.push(format!("{}: {word}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
