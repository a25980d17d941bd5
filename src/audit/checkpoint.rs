//! Signed checkpoints: "entry n has this hash". Kept beside the log and, optionally, elsewhere: an external checkpoint
//! also reveals truncation or a rewritten log.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::START;
use super::{AuditFault, AuditLog};
use optag_core::clock::WallTime;
use optag_core::signing::{Signed, Signer};
use optag_files::private_files::no_follow;

/// The kind of signed document.
pub const KIND: &str = "audit-checkpoint";

/// Content of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The entry's number.
    pub sequence: u64,
    /// Its hash.
    pub hash: String,
    /// When this was signed.
    pub at: WallTime,
    /// Whether the entries up to this one were pruned because they had expired: the log then begins after it.
    pub pruned: bool,
}

/// Result of a successful verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// First retained entry, 0 for none.
    pub first: u64,
    /// Last entry.
    pub last: u64,
    /// Number of checkpoints compared with their entry.
    pub compared: u64,
}

impl AuditLog {
    /// The checkpoint of the last entry; `None` if there is no entry. Signs it and stores the checkpoint beside
    /// the log, unless that was done already. Blocking.
    ///
    /// Errors: of the files, or an unreadable last line.
    pub fn checkpoint(&self, signer: &Signer, at: WallTime) -> Result<Option<Signed>, AuditFault> {
        let Some((sequence, hash)) = self.head()? else { return Ok(None) };
        let is_of_last = |signed: &Signed| {
            let old = signed.read::<Checkpoint>();
            old.is_ok_and(|old| (old.sequence, &old.hash, old.pruned) == (sequence, &hash, false))
        };
        // One of a pruning may stand behind it.
        if let Some(known) = self.checkpoints()?.into_iter().rev().find(is_of_last) {
            return Ok(Some(known));
        }
        let signed = sign(signer, &Checkpoint { sequence, hash, at, pruned: false })?;
        self.keep(&signed)?;
        Ok(Some(signed))
    }

    /// The checkpoints stored beside the log, oldest first.
    ///
    /// Errors: of the file. A torn line at the end is skipped.
    pub fn checkpoints(&self) -> Result<Vec<Signed>, AuditFault> {
        read_checkpoints(&self.checkpoints_path())
    }

    /// Verifies the chain, then every checkpoint, the local ones and those in `anchors`, against it.
    ///
    /// Errors: the first place where something was changed, removed, moved or truncated.
    pub fn verify_against(
        &self,
        anchors: &[Signed],
        public_key: Option<&str>,
    ) -> Result<Verdict, AuditFault> {
        let mut said: BTreeMap<u64, Vec<Checkpoint>> = BTreeMap::new();
        for signed in self.checkpoints()?.iter().chain(anchors) {
            signed.verify(KIND, public_key).map_err(|error| AuditFault::Checkpoint(error.to_string()))?;
            let one: Checkpoint = signed.read().map_err(|error| AuditFault::Checkpoint(error.to_string()))?;
            said.entry(one.sequence).or_default().push(one);
        }
        let (mut first, mut last, mut compared) = (0, 0, 0);
        for line in self.lines()? {
            let line = line?;
            if first == 0 {
                let begins = line.sequence == 1 && line.previous == START;
                let cut = said
                    .get(&(line.sequence - 1))
                    .is_some_and(|all| all.iter().any(|one| one.pruned && one.hash == line.previous));
                if !begins && !cut {
                    return Err(AuditFault::Tampered { sequence: line.sequence });
                }
                first = line.sequence;
            }
            last = line.sequence;
            for one in said.get(&last).into_iter().flatten() {
                if one.hash != line.hash {
                    return Err(AuditFault::Tampered { sequence: last });
                }
                compared += 1;
            }
        }
        match said.keys().next_back() {
            Some(&signed) if signed > last => Err(AuditFault::CutOff { last, signed }),
            _ => Ok(Verdict { first, last, compared }),
        }
    }

    pub(super) fn keep(&self, signed: &Signed) -> Result<(), AuditFault> {
        let path = self.checkpoints_path();
        let mut text = serde_json::to_string(signed).map_err(io::Error::from)?;
        // Terminates a line torn by an earlier crash, so that only that line is skipped.
        text.insert(0, '\n');
        text.push('\n');
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let mut file = no_follow(&mut options).open(&path)?;
        let end = file.metadata()?.len();
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // A failed write does not count.
            let _ = file.set_len(end);
        }
        written?;
        // An earlier process may have created the file without making its directory entry durable.
        Ok(path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?)
    }

    pub(super) fn checkpoints_path(&self) -> PathBuf {
        self.path.with_extension("checkpoints.jsonl")
    }
}

/// Reads checkpoints from a file, one per line or a single one; none if there is no file.
///
/// Errors: of the file. Lines that are not checkpoints are skipped.
pub fn read_checkpoints(path: &Path) -> Result<Vec<Signed>, AuditFault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for line in BufReader::new(file).lines() {
        found.extend(serde_json::from_str::<Signed>(&line?).ok());
    }
    Ok(found)
}

pub(super) fn sign(signer: &Signer, checkpoint: &Checkpoint) -> Result<Signed, AuditFault> {
    Ok(signer.sign(KIND, checkpoint).map_err(io::Error::from)?)
}
