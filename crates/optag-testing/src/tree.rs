//! The checkout as tests look at it. In: folders. Out: files and their text.

use std::path::{Path, PathBuf};

/// Its top.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

/// Every file below a folder whose name ends so, without build directories; none where there is no such folder.
///
/// Panics: where a folder cannot be read.
pub fn files_below(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut todo: Vec<PathBuf> = dir.is_dir().then(|| dir.to_owned()).into_iter().collect();
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        for path in entries.flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true if path.ends_with("target") => {}
                true => todo.push(path),
                false if path.to_string_lossy().ends_with(ending) => found.push(path),
                false => {}
            }
        }
    }
    found
}

/// The text of a file.
///
/// Panics: where it cannot be read.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file's code without the unit tests at its end.
pub fn without_unit_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Whether a file, by its path, holds nothing but tests or what stands in for parts in them.
pub fn is_test_file(name: &str) -> bool {
    name.contains("tests") || name.ends_with("fakes.rs")
}
