//! The prompt store: a directory with three files for each version: audio, text, and a table like `[[prompt]]`.
//!
//! A version is never changed: consent records name it by version and hashes. The table is written last, and what is
//! without a table is no prompt.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::prompts::StoredPrompt;
use crate::prompts::audio::wav;
use optag_core::call::ConsentKeys;
use optag_files::atomic_file::replace;
use optag_media::announce::audio::PROMPT_HZ;

/// A prompt to store.
#[derive(Debug)]
pub struct NewPrompt<'a> {
    /// Its version: one version, one language.
    pub version: &'a str,
    /// Its language, for example `da`.
    pub language: &'a str,
    /// Its wording.
    pub text: &'a str,
    /// Levelled samples.
    pub samples: &'a [i16],
    /// The departments that it names.
    pub departments: &'a [String],
    /// The keys that it announces, unless they are the department's.
    pub keys: Option<&'a ConsentKeys>,
}

/// Why a prompt is not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is such a version.
    #[error("version {0} is there already; a changed prompt is a new version")]
    Exists(String),
    /// The name is no version.
    #[error("a version has 1 to 64 letters a-z, digits, `-`, `_` or `.`, and does not begin with `.`")]
    Name,
    /// The disk.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The table cannot be written as TOML.
    #[error("cannot write the prompt's table: {0}")]
    Table(#[from] toml::ser::Error),
}

/// Stores a prompt; returns its audio file.
///
/// Errors: the version exists, or of the disk.
pub fn add(dir: &Path, prompt: &NewPrompt<'_>) -> Result<PathBuf, StoreError> {
    let version = prompt.version;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if version.is_empty() || version.len() > 64 || version.starts_with('.') || !version.chars().all(plain) {
        return Err(StoreError::Name);
    }
    let [audio, text, table] = ["wav", "txt", "toml"].map(|end| format!("{version}.{end}"));
    if dir.join(&table).exists() {
        return Err(StoreError::Exists(version.to_owned()));
    }
    fs::create_dir_all(dir).map_err(|error| StoreError::Io { path: dir.to_owned(), error })?;
    let stored = StoredPrompt {
        version,
        language: prompt.language,
        text_file: &text,
        audio_file: &audio,
        departments: prompt.departments,
        keys: prompt.keys,
    };
    let files = [
        (&audio, wav(prompt.samples, PROMPT_HZ)),
        (&text, format!("{}\n", prompt.text.trim()).into_bytes()),
        (&table, toml::to_string(&stored)?.into_bytes()),
    ];
    for (name, bytes) in files {
        let path = dir.join(name);
        replace(&path, &bytes).map_err(|error| StoreError::Io { path, error })?;
    }
    Ok(dir.join(audio))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_is_stored_is_a_prompt_of_the_configuration_with_its_hashes() {
        let dir = tempfile::tempdir().unwrap();
        let departments = ["a".to_owned()];
        let keys = ConsentKeys { yes: "5".into(), ..ConsentKeys::default() };
        let prompt = NewPrompt {
            version: "2026-1-da",
            language: "da",
            text: "Må vi optage? Tast 5 for ja.",
            samples: &[7; 16_000],
            departments: &departments,
            keys: Some(&keys),
        };
        let audio = add(&dir.path().join("prompts"), &prompt).unwrap();
        assert!(matches!(add(&dir.path().join("prompts"), &prompt), Err(StoreError::Exists(_))));
        for version in ["../x", "", ".hidden", "a b"] {
            assert!(
                matches!(add(dir.path(), &NewPrompt { version, ..prompt }), Err(StoreError::Name)),
                "{version}"
            );
        }
        let text = format!(
            "data_dir = '{}'\n[[department]]\nid = 'a'\nname = 'A'\nrecord = true\nprompts = ['2026-1-da']\n",
            dir.path().display()
        );
        let config = Config::parse(&text, []).unwrap();
        let read = &config.departments[0].prompts[0];
        assert_eq!((read.language.as_str(), read.keys.as_ref()), ("da", Some(&keys)));
        assert_eq!(read.audio_file.as_deref(), Some(audio.as_path()));
        assert_eq!(crate::prompts::audio::read(&audio).unwrap(), [7; 16_000]);
        let bytes = std::fs::read(&audio).unwrap();
        let hash =
            optag_core::hex::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref());
        assert_eq!(read.audio_sha256.as_deref(), Some(hash.as_str()), "of the file that is played");
    }
}
