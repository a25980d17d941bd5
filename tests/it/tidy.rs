//! Keeps the tree as its architecture page draws it.

use std::path::{Path, PathBuf};

/// What each module may import of ours. `app` and `cli` may import everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("call", &["base"]),
    ("media", &["base", "call"]),
    ("spool", &["base", "call", "media", "testing"]),
    ("testing", &["spool"]),
    ("signalling", &["base", "call", "media"]),
    ("archive", &["base", "call", "media", "spool", "app::config"]),
    ("audit", &["base"]),
    ("assurance", &["base", "index"]),
    ("import", &["base", "call", "media", "spool"]),
    ("disclosure", &["base", "call"]),
    ("index", &["base", "call", "media", "archive"]),
    ("retention", &["base", "archive", "index", "spool::disk", "app::config"]),
    (
        "http",
        &["base", "call", "media", "signalling", "metrics", "disclosure", "app::logging", "app::config"],
    ),
    ("metrics", &["base", "call", "media", "signalling"]),
    ("load", &["base", "call::outcome", "media::codec", "media::output", "media::rtp::srtp"]),
];

/// Files and folders of pure rules: no sockets, files, threads or clocks of the system.
const PURE: &[&str] = &[
    "call",
    "import/table.rs",
    "import/resample.rs",
    "disclosure/sheet.rs",
    "media/call.rs",
    "media/axis.rs",
    "media/background.rs",
    "media/capture.rs",
    "media/feedback.rs",
    "media/codec",
    "media/ending.rs",
    "media/cuts.rs",
    "media/ear.rs",
    "media/fault.rs",
    "media/gap.rs",
    "media/holes.rs",
    "media/interleave.rs",
    "media/jitter.rs",
    "media/joining.rs",
    "media/governor.rs",
    "media/keypad.rs",
    "media/keys.rs",
    "media/leg.rs",
    "media/numbering.rs",
    "media/open.rs",
    "media/opus_fill.rs",
    "media/pass_track.rs",
    "media/pcm.rs",
    "media/pcm_track.rs",
    "media/press.rs",
    "media/replay.rs",
    "media/rtp",
    "media/sender_clock.rs",
    "media/timeline.rs",
    "media/tone.rs",
    "media/tracks.rs",
    "spool/record.rs",
    "spool/recover.rs",
    "spool/frame.rs",
    "spool/payload.rs",
    "retention/trusted_time.rs",
    "signalling/sdp",
    "signalling/sip/dialog.rs",
    "signalling/sip/message.rs",
    "signalling/sip/parse.rs",
    "signalling/sip/transaction.rs",
    "signalling/siprec/server.rs",
];
const IMPURE: &[&str] =
    &["std::fs", "std::thread", "UdpSocket", "TcpStream", "SystemTime", "Instant::now", "tokio::"];

/// Lines of a file without its tests.
const CEILING: usize = 420;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `src` with its path from there and its text without unit tests.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let source = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        (name, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned())
    };
    files_of("src", ".rs").into_iter().map(source).collect()
}

fn is_test_file(name: &str) -> bool {
    name.contains("tests") || name.ends_with("fakes.rs")
}

#[test]
fn modules_import_only_what_lies_to_their_left() {
    let mut wrong = Vec::new();
    for (name, code) in sources() {
        let Some((_, allowed)) = IMPORTS.iter().find(|(module, _)| name.starts_with(&format!("{module}/")))
        else {
            continue;
        };
        if is_test_file(&name) {
            continue;
        }
        let own = name.split('/').next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("crate::") {
                let path = &line[at + "crate::".len()..];
                let fine = path.starts_with(own) || allowed.iter().any(|module| path.starts_with(module));
                if !fine {
                    wrong.push(format!("src/{name} may not import crate::{path}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_files_touch_no_socket_file_thread_or_clock() {
    let mut wrong = Vec::new();
    for (name, code) in sources().into_iter().filter(|(name, _)| !is_test_file(name)) {
        if !PURE.iter().any(|pure| Path::new(&name).starts_with(pure)) {
            continue;
        }
        let used = IMPURE.iter().filter(|impure| code.contains(**impure));
        wrong.extend(used.map(|impure| format!("src/{name} uses {impure}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small_and_are_named_after_what_they_hold() {
    let mut wrong = Vec::new();
    for (name, code) in sources() {
        let lines = code.lines().count();
        if lines > CEILING && !is_test_file(&name) {
            wrong.push(format!("src/{name} has {lines} lines"));
        }
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy().into_owned();
        if ["utils", "util", "common", "helpers", "manager", "types"].contains(&stem.as_str()) {
            wrong.push(format!("src/{name} has a name that says nothing"));
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

/// Every file below a directory whose name ends so.
fn files_of(dir: &str, ending: &str) -> Vec<PathBuf> {
    let mut todo = vec![root().join(dir)];
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => todo.push(path),
                false if path.to_string_lossy().ends_with(ending) => found.push(path),
                false => {}
            }
        }
    }
    found
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let mut functions = Vec::new();
    for file in files_of("src", ".rs").into_iter().chain(files_of("tests", ".rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<', ' ']).next());
        functions.extend(names.map(str::to_owned));
    }
    let mut missing = Vec::new();
    for file in files_of("docs", ".md").into_iter().chain([root().join("src/ARCHITECTURE.md")]) {
        // The keys of a report are long words as well.
        if file.ends_with("performance.md") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for word in text.split('`').skip(1).step_by(2).flat_map(|span| span.split([' ', ','])) {
            let name = word.rsplit("::").next().unwrap_or_default();
            let is_test = name.matches('_').count() >= 3
                && !name.starts_with("optag_")
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
