//! Loads the master key from its file, the environment, or a command that queries a KMS, an HSM or a secret store.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::config::MasterKeySource;
use optag_core::locked::{SECRET_BYTES, Secret};
use optag_storage::spool::MasterSecret;

/// Time limit of the command.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum length of a key in any notation.
const LONGEST: usize = 1_024;

/// Loads the key; also returns its file if it was just created.
///
/// Errors: unavailable or invalid key.
pub async fn load(source: &MasterKeySource) -> anyhow::Result<(MasterSecret, Option<PathBuf>)> {
    match source {
        MasterKeySource::File(path) => {
            let (secret, made) = MasterSecret::load_or_create(path)?;
            Ok((secret, made.then(|| path.clone())))
        }
        MasterKeySource::Environment(text) => {
            let key = read(text.reveal().as_bytes());
            Ok((key.context("OPTAG_MASTER_KEY: expected 64 hexadecimal digits or base64 of 32 bytes")?, None))
        }
        MasterKeySource::Command(command) => {
            let asked = tokio::time::timeout(PATIENCE, ask(command)).await;
            let said = asked.context("seal.master_key_command timed out")??;
            let key = read(&said);
            Ok((key.context("seal.master_key_command: expected a key of 32 bytes, as raw bytes, 64 hexadecimal digits or base64")?, None))
        }
    }
}

async fn ask(command: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start seal.master_key_command")?;
    // Fixed length: a growing buffer leaves copies behind.
    let mut said = Zeroizing::new(vec![0; LONGEST]);
    let mut length = 0;
    if let Some(mut out) = child.stdout.take() {
        while length < LONGEST {
            match out.read(&mut said[length..]).await? {
                0 => break,
                more => length += more,
            }
        }
    }
    let ended = child.wait().await?;
    if !ended.success() {
        bail!("seal.master_key_command failed ({ended})");
    }
    said.truncate(length);
    Ok(said)
}

/// Parses 32 raw bytes, hexadecimal or base64; written directly into locked memory.
fn read(said: &[u8]) -> Option<MasterSecret> {
    let mut secret = Secret::zeroed();
    if said.len() == secret.len() {
        secret.copy_from_slice(said);
        return Some(MasterSecret::from_bytes(secret));
    }
    let text = said.trim_ascii();
    if text.len() == 64 {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        return Some(MasterSecret::from_bytes(secret));
    }
    // Sized for the decoder's estimate, which exceeds the result.
    let mut decoded = Zeroizing::new([0; 64]);
    let length = STANDARD.decode_slice(text, decoded.as_mut()).ok()?;
    let bytes: &[u8; SECRET_BYTES] = decoded.get(..length)?.try_into().ok()?;
    secret.copy_from_slice(bytes);
    Some(MasterSecret::from_bytes(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_three_writings_and_nothing_else_is_one() {
        for said in
            [&[7; 32][..], "07".repeat(32).as_bytes(), b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"]
        {
            assert!(read(said).is_some(), "{said:?}");
        }
        for said in [&b""[..], b"07", &[7; 31], &[b'z'; 64]] {
            assert!(read(said).is_none(), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_command_gives_the_key_or_stops_the_start() {
        let of = |command: &str| MasterKeySource::Command(command.to_owned());
        assert!(load(&of("printf '%064d' 7")).await.is_ok());
        let error = load(&of("echo no such secret; exit 3")).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && !error.contains("secret"), "{error}");
        assert!(load(&of("true")).await.is_err());
    }
}
