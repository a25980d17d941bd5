//! Where events go: the checked form of a `[[webhook]]`, and its secrets.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::index::{EventKind, Receiver};

/// Shortest and longest key. Units: bytes. Source: Standard Webhooks, "Secret format".
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How a secret begins.
const PREFIX: &str = "whsec_";

/// A receiver of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in the index.
    pub id: String,
    /// Whether TLS is used.
    pub is_https: bool,
    /// Host of the URL; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// What it is told.
    pub kinds: Vec<EventKind>,
    /// File with the secrets that sign, one a line.
    pub secret_file: PathBuf,
    /// CA certificates that its certificate must chain to; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether it may have an address that is not public.
    pub allows_private: bool,
}

impl Target {
    /// As the index knows it.
    pub fn receiver(&self) -> Receiver {
        Receiver { id: self.id.clone(), kinds: self.kinds.clone() }
    }

    /// The keys that sign, the newest first. Read each time, so that a secret can be replaced.
    ///
    /// Errors: the file cannot be read, or a line is no secret.
    pub fn keys(&self) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
        keys(&self.secret_file)
    }
}

/// The keys of a file of secrets.
///
/// Errors: it cannot be read, is empty, or a line is no secret.
pub fn keys(path: &Path) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
    let text = Zeroizing::new(std::fs::read_to_string(path)?);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Option<Vec<_>> = lines.map(key).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        io::Error::other(
            "each line must be whsec_ and 24 to 64 bytes in base64 (echo whsec_$(openssl rand -base64 32))",
        )
    })
}

fn key(line: &str) -> Option<Zeroizing<Vec<u8>>> {
    let key = Zeroizing::new(STANDARD.decode(line.strip_prefix(PREFIX)?).ok()?);
    KEY_BYTES.contains(&key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_secrets_has_keys_of_a_proper_length_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        std::fs::write(&path, format!("{}\n\n  {} \n", secret(32), secret(24))).unwrap();
        let lengths: Vec<usize> = keys(&path).unwrap().iter().map(|key| key.len()).collect();
        assert_eq!(lengths, [32, 24]);
        for wrong in ["", "whsec_", "secret", &secret(23), &secret(65), &format!("{}\nx", secret(32))] {
            std::fs::write(&path, wrong).unwrap();
            assert!(keys(&path).is_err(), "{wrong}");
        }
        assert!(keys(&dir.path().join("none")).is_err());
    }
}
