//! Source of the master key, sealing, and escrow of day keys.

use std::path::{Path, PathBuf};

use crate::config::error::ConfigError;
use crate::config::raw::RawSeal;
use crate::config::settings::{MasterKeySource, SealConfig};
use crate::config::values::{path_or, wrong};
use optag_core::private::Private;
use optag_storage::archive::vault::Escrow;

/// The environment, else the command, else the file.
pub(super) fn master_key(
    raw: &RawSeal,
    file: &str,
    data_dir: &Path,
    env: &[(String, String)],
) -> MasterKeySource {
    let variable = env.iter().find(|(name, value)| name == "OPTAG_MASTER_KEY" && !value.is_empty());
    match variable {
        Some((_, value)) => MasterKeySource::Environment(Private::new(value.clone())),
        None if !raw.master_key_command.is_empty() => {
            MasterKeySource::Command(raw.master_key_command.clone())
        }
        None => MasterKeySource::File(path_or(file, data_dir, "master.key")),
    }
}

/// What is sealed, and whose copies of the keys there are.
pub(super) fn seal(kind: &str, raw: &RawSeal, data_dir: &Path) -> Result<SealConfig, ConfigError> {
    let seals = match kind {
        "age" => true,
        "none" => false,
        _ => return Err(wrong("store.seal", "`age` or `none`")),
    };
    let recipient = match raw.escrow_recipient.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            wrong("seal.escrow_recipient", "expected an age recipient: age1 and 58 characters")
        })?),
    };
    let escrow = match (raw.escrow_to.as_str(), recipient) {
        ("", None) => None,
        ("", Some(_)) => return Err(wrong("seal.escrow_to", "`store` or a directory is required")),
        ("store", recipient) => Some(Escrow { recipient, dir: None }),
        // Beside the master key's node, a copy under the master key alone would be worth nothing.
        (_, None) => return Err(wrong("seal.escrow_recipient", "required for copies in a directory")),
        (dir, recipient) => Some(Escrow { recipient, dir: Some(PathBuf::from(dir)) }),
    };
    Ok(SealConfig { seals, keys_dir: path_or(&raw.keys_dir, data_dir, "keys"), master_key: None, escrow })
}
