//! Checks of `[[prompt]]`: consent prompts by version, with the hashes that consent records contain. Prompts that
//! `optag prompt add` stored are read like those of the configuration.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::config::departments::check_keys;
use crate::config::error::ConfigError;
use crate::config::raw::{RawDepartment, RawPrompt};
use optag_core::call::{ConsentKeys, Prompt};
use optag_core::hex::hex;

/// Longest text. Units: characters.
const TEXT_CHARS: usize = 4_000;
/// Largest audio file. Units: bytes.
const AUDIO_BYTES: u64 = 64 << 20;

/// The prompts in a prompt store, each as a table in a file of its own; file names in it are of the same directory.
///
/// Errors: a file cannot be read, or is no such table.
pub(super) fn stored(dir: &Path) -> Result<Vec<RawPrompt>, ConfigError> {
    let error = |path: &Path, source| ConfigError::File { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| error(dir, source))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>();
    let mut paths = paths.map_err(|source| error(dir, source))?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|source| error(path, source))?;
        let mut prompt: RawPrompt = toml::from_str(&text).map_err(|wrong| {
            error(path, std::io::Error::new(std::io::ErrorKind::InvalidData, wrong.message().to_owned()))
        })?;
        for file in [&mut prompt.text_file, &mut prompt.audio_file] {
            if !file.is_empty() {
                *file = dir.join(&file).display().to_string();
            }
        }
        Ok(prompt)
    };
    paths.iter().map(read).collect()
}

/// A prompt as the store has it: see `stored`.
#[derive(Debug, serde::Serialize)]
pub struct StoredPrompt<'a> {
    /// Its version.
    pub version: &'a str,
    /// Its language.
    pub language: &'a str,
    /// File of its text, in the same directory.
    pub text_file: &'a str,
    /// File of its audio, in the same directory.
    pub audio_file: &'a str,
    /// The departments that it names.
    pub departments: &'a [String],
    /// The keys that it announces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<&'a ConsentKeys>,
}

/// Checks all prompts and reads the files that they name.
pub(super) fn check(raw: Vec<RawPrompt>, departments: &[RawDepartment]) -> Result<Vec<Prompt>, ConfigError> {
    let mut prompts: Vec<Prompt> = Vec::with_capacity(raw.len());
    for one in raw {
        let version = one.version.clone();
        let wrong = |key: &str, allowed: &str| ConfigError::Value {
            key: format!("prompt `{version}`, {key}"),
            allowed: allowed.to_owned(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if version.is_empty() || version.len() > 64 || !version.chars().all(plain) {
            return Err(wrong("version", "1 to 64 letters a-z, digits, `-`, `_` or `.`"));
        }
        if prompts.iter().any(|other| other.version == version) {
            return Err(wrong("version", "used twice; a changed text or language is another version"));
        }
        let tag = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !(2..=35).contains(&one.language.len()) || !one.language.chars().all(tag) {
            return Err(wrong("language", "a language tag such as `da` or `en-GB`"));
        }
        let text = match (one.text.is_empty(), one.text_file.is_empty()) {
            (false, true) => one.text,
            (true, false) => String::from_utf8(read(&one.text_file)?)
                .map_err(|_| wrong("text_file", "a file of UTF-8 text"))?,
            _ => return Err(wrong("text", "either `text` or `text_file` is required")),
        };
        if text.trim().is_empty() || text.chars().count() > TEXT_CHARS {
            return Err(wrong("text", "1 to 4000 characters"));
        }
        let audio_file = Some(PathBuf::from(&one.audio_file)).filter(|file| !file.as_os_str().is_empty());
        let audio_sha256 = match (one.audio_file.as_str(), one.audio_sha256.to_ascii_lowercase()) {
            ("", known) if known.is_empty() => None,
            ("", known) if known.len() == 64 && known.chars().all(|c| c.is_ascii_hexdigit()) => Some(known),
            (file, known) if !file.is_empty() && known.is_empty() => Some(sha256(&read(file)?)),
            _ => return Err(wrong("audio_sha256", "64 hexadecimal digits, or instead of it `audio_file`")),
        };
        let known = |id: &String| departments.iter().any(|department| department.id == *id);
        if one.departments.is_empty() || !one.departments.iter().all(known) {
            return Err(wrong(
                "departments",
                "ids of departments, at least one: those that the prompt names",
            ));
        }
        if let Some(keys) = &one.keys {
            check_keys(keys).map_err(|(key, allowed)| wrong(key, &allowed))?;
        }
        prompts.push(Prompt {
            version: one.version,
            language: one.language,
            text_sha256: sha256(text.as_bytes()),
            text,
            audio_sha256,
            audio_file,
            covers: one.departments,
            keys: one.keys,
        });
    }
    Ok(prompts)
}

fn read(file: &str) -> Result<Vec<u8>, ConfigError> {
    let error = |source| ConfigError::File { path: file.into(), source };
    if std::fs::metadata(file).map_err(error)?.len() > AUDIO_BYTES {
        return Err(error(std::io::Error::other("it is larger than 64 MiB")));
    }
    std::fs::read(file).map_err(error)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const DEPARTMENTS: &str = "[[department]]\nid = \"a\"\nname = \"A\"\nrecord = true\nprompts = [\"1\"]\n\
        [[department]]\nid = \"b\"\nname = \"B\"\n";

    fn prompt(extra: &str) -> String {
        format!(
            "[[prompt]]\nversion = \"1\"\nlanguage = \"da\"\ndepartments = [\"a\"]\n{extra}\n{DEPARTMENTS}"
        )
    }

    #[test]
    fn a_prompt_is_hashed_and_belongs_to_the_departments_that_name_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prompt.wav");
        std::fs::write(&file, b"abc").unwrap();
        let text =
            prompt(&format!("text = \"abc\"\naudio_file = \"{}\"\nkeys = {{ yes = \"5\" }}", file.display()));
        let config = Config::parse(&text, []).unwrap();
        let [a, b] = &config.departments[..] else { panic!("two departments") };
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(a.prompts[0].text_sha256, known);
        assert_eq!(a.prompts[0].audio_sha256.as_deref(), Some(known));
        assert_eq!((a.default_keys().yes.as_str(), a.prompts[0].covers.len(), b.prompts.len()), ("5", 1, 0));
    }

    #[test]
    fn what_is_wrong_with_a_prompt_is_named() {
        for (text, part) in [
            (prompt(""), "text"),
            (prompt("text = \"x\"\ntext_file = \"y\""), "text"),
            (prompt("text = \"x\"\naudio_sha256 = \"12\""), "audio_sha256"),
            (prompt("text = \"x\"\nkeys = { yes = \"2\" }"), "prefix"),
            (prompt("text = \"x\"").replace("[\"a\"]", "[\"c\"]"), "departments"),
            (prompt("text = \"x\"").replace("[\"a\"]", "[\"b\"]"), "no prompt that names this department"),
            (prompt("text = \"x\"").replace("\"da\"", "\"d\""), "language"),
            (prompt("text_file = \"/no/such/file\""), "/no/such/file"),
        ] {
            let error = Config::parse(&text, []).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
