//! Lists the migrations of the index for `src/index/migrations.rs`: the files of each folder, in order of their versions.
//! sqlx's own macro does the same, and takes minutes: it compiles database drivers and cryptography once more for itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut list = String::new();
    for database in ["sqlite", "postgres"] {
        let dir = root.join("src/index/migrations").join(database);
        println!("cargo::rerun-if-changed={}", dir.display());
        let name = database.to_uppercase();
        writeln!(list, "/// Name and text of each file.\nconst {name}: &[(&str, &str)] = &[")
            .map_err(io::Error::other)?;
        for file in files_of(&dir)? {
            let name = file.file_name().unwrap_or_default();
            writeln!(list, "    ({name:?}, include_str!({file:?})),").map_err(io::Error::other)?;
        }
        list.push_str("];\n");
    }
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("migrations.rs"), list)
}

fn files_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|end| end == "sql")))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
