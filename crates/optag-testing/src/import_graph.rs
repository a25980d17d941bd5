//! Which file of the program uses which, read from its text. In: the root of the checkout. Out: an arrow
//! for each file that names another one in a path, and the circles among them.
//!
//! Unit tests are left out: they may look at everything. Paths are found by their text (`use` trees, and
//! `crate::…`, `super::…`, `optag_…::…` anywhere else), which is enough for code that imports what it uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::tree;

/// A file as a module: its crate, and the names that lead to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Module {
    /// As Rust names it, with underscores.
    pub krate: String,
    /// From the crate's root; empty for the root.
    pub path: Vec<String>,
}

impl Module {
    /// The crate and the first folder or file below its root.
    pub fn folder(&self) -> Module {
        Module { krate: self.krate.clone(), path: self.path.iter().take(1).cloned().collect() }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.krate)?;
        self.path.iter().try_for_each(|name| write!(out, "::{name}"))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

/// Arrows between modules.
pub type Arrows = BTreeMap<Module, BTreeSet<Module>>;

/// The arrows between the files of the recorder and of all crates below `crates`.
///
/// Panics: where a file cannot be read.
pub fn read(root: &Path) -> Arrows {
    let files = modules(root);
    let mut arrows = Arrows::new();
    for (module, file) in &files {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for path in paths(&without_scopes(&without_comments(text))) {
            if let Some(used) = resolve(module, &path, &files)
                && used != *module
            {
                arrows.entry(module.clone()).or_default().insert(used);
            }
        }
    }
    arrows
}

/// The same arrows between folders, those inside of a folder left out.
pub fn between_folders(arrows: &Arrows) -> Arrows {
    let mut between = Arrows::new();
    for (from, all) in arrows {
        for to in all.iter().filter(|to| to.folder() != from.folder()) {
            between.entry(from.folder()).or_default().insert(to.folder());
        }
    }
    between
}

/// Sets of two and more modules that each lead to all others of the set, the largest first.
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        arrows.keys().map(|from| (from, reachable(arrows, from))).collect();
    let mut found: BTreeSet<BTreeSet<Module>> = BTreeSet::new();
    for (from, all) in &reach {
        let both = |to: &&&Module| reach.get(**to).is_some_and(|back| back.contains(from));
        let circle: BTreeSet<Module> = all.iter().filter(both).map(|to| (*to).clone()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}

fn reachable<'a>(arrows: &'a Arrows, from: &'a Module) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut todo: Vec<&Module> = arrows.get(from).into_iter().flatten().collect();
    while let Some(next) = todo.pop() {
        if seen.insert(next) {
            todo.extend(arrows.get(next).into_iter().flatten());
        }
    }
    seen
}

/// Every file that is no test, by its module.
fn modules(root: &Path) -> BTreeMap<Module, PathBuf> {
    let mut roots = vec![("optag".to_owned(), root.join("src"))];
    for entry in std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().replace('-', "_");
        roots.push((name, entry.path().join("src")));
    }
    let mut found = BTreeMap::new();
    for (krate, source) in roots {
        for path in tree::files_below(&source, ".rs") {
            let inside = path.strip_prefix(&source).unwrap_or(&path);
            if tree::is_test_file(&inside.to_string_lossy()) {
                continue;
            }
            let mut names: Vec<String> =
                inside.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
            names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
            found.insert(Module { krate: krate.clone(), path: names }, path);
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// A text without the scopes of `pub(in …)`, which use nothing.
fn without_scopes(text: &str) -> String {
    let mut parts = text.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "pub" + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// Every path in a text, those of `use` trees spelled out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut todo = text;
    while let Some(at) = next_use(todo) {
        rest.push_str(&todo[..at]);
        let tree = &todo[at + "use ".len()..];
        let end = tree.find(';').unwrap_or(tree.len());
        spell_out(&[], &tree[..end], &mut found);
        todo = &tree[end..];
    }
    rest.push_str(todo);
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_path(c)).filter(|word| word.contains("::")) {
        found.push(word.split("::").map(str::to_owned).collect());
    }
    found
}

/// Where the next `use` item begins.
fn next_use(text: &str) -> Option<usize> {
    let starts = |at: &usize| {
        let before = text[..*at].trim_end_matches(' ');
        before.is_empty() || before.ends_with(['\n', ';', '{', ')']) || before.ends_with("pub")
    };
    text.match_indices("use ").map(|(at, _)| at).find(starts)
}

/// The leaves of a `use` tree.
fn spell_out(before: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let names = |text: &str| -> Vec<String> {
        text.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    };
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        found.push(before.iter().cloned().chain(names(path)).collect());
        return;
    };
    let head: Vec<String> = before.iter().cloned().chain(names(&tree[..open])).collect();
    let end = tree.rfind('}').filter(|end| *end > open).unwrap_or(tree.len());
    let inner = &tree[open + 1..end];
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                spell_out(&head, &inner[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        spell_out(&head, &inner[from..], found);
    }
}

/// The file that a path in a module leads to, if it is one of ours.
fn resolve(module: &Module, path: &[String], files: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut krate = module.krate.clone();
    let mut names: Vec<String> = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        "self" => module.path.iter().chain(&path[1..]).cloned().collect(),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            let kept = module.path.len().checked_sub(up)?;
            module.path[..kept].iter().chain(&path[up..]).cloned().collect()
        }
        other if files.keys().any(|file| file.krate == other) => {
            krate = other.to_owned();
            path[1..].to_vec()
        }
        _ => return None,
    };
    loop {
        let found = Module { krate: krate.clone(), path: names.clone() };
        if files.contains_key(&found) {
            return Some(found);
        }
        names.pop()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn arrows_are_found_in_use_trees_and_in_the_middle_of_code_and_circles_among_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "src/lib.rs", "pub mod a;\n");
        write(
            root,
            "src/a/mod.rs",
            "use crate::{b::{self, Thing as Other}, c::Deep};\n// use crate::d::Not;\n",
        );
        write(
            root,
            "src/b.rs",
            "pub(in crate::d) fn f() { super::c::deeper::call(); }\n#[cfg(test)]\nmod tests {\nuse crate::a;\n}\n",
        );
        write(root, "src/c/mod.rs", "pub(crate) use optag_core::id::Id;\n");
        write(root, "src/c/deeper.rs", "use crate::a::Thing;\n");
        write(root, "src/d.rs", "");
        write(root, "crates/optag-core/src/id.rs", "");
        let arrows = read(root);
        let shown: Vec<String> =
            arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| format!("{from} {to}"))).collect();
        assert_eq!(
            shown,
            [
                "optag::a optag::b",
                "optag::a optag::c",
                "optag::b optag::c::deeper",
                "optag::c optag_core::id",
                "optag::c::deeper optag::a",
            ]
        );
        assert_eq!(format!("{:?}", circles(&arrows)), "[{optag::a, optag::b, optag::c::deeper}]");
        assert_eq!(format!("{:?}", circles(&between_folders(&arrows))), "[{optag::a, optag::b, optag::c}]");
    }
}
