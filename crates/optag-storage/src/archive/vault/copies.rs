//! Copies of the days' keys elsewhere. In: a key; the time. Out: its copy, and the end of copies, also of those of nodes that
//! are not coming back.
//!
//! ```text
//! recordings/keys/<day>-<tag>.key           the file as it is, sealed under the master key
//! recordings/keys/<day>-<tag>.key.age       the same for an outside recipient
//! recordings/keys/<day>-<tag>.until-<day>   the last day (UTC) on which a recording needs the key
//! ```
//! Its node alone makes copies of a key, and says until when they are needed before anything that needs them that long is
//! sealed. Any node may remove them after that.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use futures::TryStreamExt;
use jiff::civil::Date;

use super::{Vault, VaultError};
use crate::archive::seal::SealError;
use crate::archive::seal::day_keys::{DayKey, DayKeys, KeyError, end_of};
use crate::archive::seal::head::FileKey;
use crate::archive::seal::identity::Recipient;
use crate::archive::seal::stream::Sealer;
use crate::store::names::{self, KEYS_PREFIX};
use optag_core::clock::WallTime;
use optag_core::limit::RETENTION_DAYS;

/// How the names of copies end.
const ENDS: [&str; 2] = [".key", ".key.age"];

/// Where copies of the days' keys go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escrow {
    /// Whom they are sealed for; none: the files as they are, sealed under the master key.
    pub recipient: Option<Recipient>,
    /// A directory; none: the store.
    pub dir: Option<PathBuf>,
}

impl Escrow {
    /// How a copy's name ends.
    fn end(&self) -> &'static str {
        if self.recipient.is_some() { ".key.age" } else { ".key" }
    }
}

/// What the store has of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    day: Date,
    /// The last day on which its node said that it is needed; none: an earlier version's.
    last: Option<Date>,
    objects: Vec<String>,
}

impl Copies {
    /// From when on no recording needs the key.
    pub(super) fn over_at(&self) -> WallTime {
        let most = end_of(self.day).plus_days(i64::from(RETENTION_DAYS));
        self.last.map_or(most, |last| end_of(last).min(most))
    }

    /// Whether this object is among them.
    pub(super) fn has(&self, object: &str) -> bool {
        self.objects.iter().any(|one| one == object)
    }
}

impl Vault {
    /// Makes the copy of a key that the owner wants, and says until when it is needed. Done twice, it is one.
    ///
    /// Errors: it could not be made.
    pub async fn copy(&self, key: &DayKey) -> Result<(), VaultError> {
        let Some(escrow) = &self.escrow else { return Ok(()) };
        if !key.is_own() && escrow.recipient.is_none() && escrow.dir.is_none() {
            // It came from there, and lies there as the node wrote it that made it.
            return Ok(());
        }
        let name = format!("{}{}", key.name(), escrow.end());
        if !self.is_copied(&name) {
            let (wanted, recipient) = (key.clone(), escrow.recipient);
            let file = self.blocking(move |keys| copy_of(keys, &wanted, recipient)).await?;
            match &escrow.dir {
                None => drop(self.store.put_small(&format!("{KEYS_PREFIX}{name}"), file.into()).await?),
                Some(dir) => {
                    let path = dir.join(&name);
                    self.blocking(move |_| write_copy(&path, &file)).await?;
                }
            }
            self.set_copied(name);
        }
        let last = names::day(key.needed_until);
        let until = format!("{}.until-{last}", key.name());
        if escrow.dir.is_none() && key.is_own() && !self.is_copied(&until) {
            // The name says it; an object has to hold something, and the same each time.
            self.store.put_small(&format!("{KEYS_PREFIX}{until}"), last.to_string().into()).await?;
            self.set_copied(until);
        }
        Ok(())
    }

    /// Removes the copies of destroyed keys, in every version.
    ///
    /// Errors: some may be left; do it again.
    pub async fn remove_copies(&self) -> Result<(), VaultError> {
        let destroyed = self.blocking(|keys| keys.destroyed()).await?;
        if destroyed.is_empty() {
            return Ok(());
        }
        let mut found = self.copies().await?;
        for name in destroyed {
            self.remove(&name, found.remove(&name)).await?;
            if let Some(dir) = self.escrow.as_ref().and_then(|escrow| escrow.dir.clone()) {
                for end in ENDS {
                    let path = dir.join(format!("{name}{end}"));
                    self.blocking(move |_| remove_copy(&path)).await?;
                }
            }
            self.blocking(move |keys| keys.forget(&name)).await?;
        }
        Ok(())
    }

    /// Ends the copies in the store that no recording needs at `now`, whichever node made them: one that is not coming
    /// back ends none. `held`: days with a held recording, whose copies stay. Returns the names of the keys.
    ///
    /// Errors: some may be left; do it again.
    pub async fn sweep_copies(&self, now: WallTime, held: &HashSet<Date>) -> Result<Vec<String>, VaultError> {
        let mut ended = Vec::new();
        for (name, copies) in self.copies().await? {
            if copies.over_at() > now || held.contains(&copies.day) {
                continue;
            }
            let here = self.here(&name, copies.day).await?;
            if here.as_ref().is_some_and(DayKey::is_own) {
                // Of those that it made this node knows itself when they are due.
                continue;
            }
            if let Some(key) = here {
                self.blocking(move |keys| keys.destroy(&key, None)).await?;
            }
            self.remove(&name, Some(copies)).await?;
            self.blocking({
                let name = name.clone();
                move |keys| keys.forget(&name)
            })
            .await?;
            ended.push(name);
        }
        Ok(ended)
    }

    /// Raises another node's keys among those that are due to what that node said meanwhile; returns those that are due
    /// all the same.
    pub(super) async fn still_due(
        &self,
        others: Vec<DayKey>,
        now: WallTime,
    ) -> Result<Vec<DayKey>, VaultError> {
        if others.is_empty() || self.escrow.as_ref().is_none_or(|escrow| escrow.dir.is_some()) {
            return Ok(others);
        }
        let found = self.copies().await?;
        let mut due = Vec::new();
        for key in others {
            match found.get(&key.name()).map(Copies::over_at).filter(|over| *over > now) {
                Some(over) => {
                    self.blocking(move |keys| keys.keep(key, over)).await?;
                }
                None => due.push(key),
            }
        }
        Ok(due)
    }

    /// Every key of which the store has something, by name.
    pub(super) async fn copies(&self) -> Result<BTreeMap<String, Copies>, VaultError> {
        let mut found = BTreeMap::<String, Copies>::new();
        let mut listed = self.store.list(KEYS_PREFIX);
        while let Some(object) = listed.try_next().await? {
            let Some((name, end)) =
                object.key.strip_prefix(KEYS_PREFIX).and_then(|rest| rest.split_once('.'))
            else {
                continue;
            };
            let Some(day) = name.get(..10).and_then(|day| day.parse::<Date>().ok()) else { continue };
            let copies = Copies { day, last: None, objects: Vec::new() };
            let copies = found.entry(name.to_owned()).or_insert(copies);
            if let Some(last) = end.strip_prefix("until-").and_then(|day| day.parse::<Date>().ok()) {
                copies.last = copies.last.max(Some(last));
            }
            copies.objects.push(object.key);
        }
        Ok(found)
    }

    /// Removes what the store has of a key; the copies first, then what says until when they are needed.
    async fn remove(&self, name: &str, found: Option<Copies>) -> Result<(), VaultError> {
        for end in ENDS {
            self.store.delete_all(&format!("{KEYS_PREFIX}{name}{end}")).await?;
        }
        let said = |object: &&String| !ENDS.iter().any(|end| object.ends_with(end));
        for object in found.iter().flat_map(|found| found.objects.iter().filter(said)) {
            self.store.delete_all(object).await?;
        }
        Ok(())
    }

    async fn here(&self, name: &str, day: Date) -> Result<Option<DayKey>, VaultError> {
        let of_day = self.blocking(move |keys| keys.of(day)).await?;
        Ok(of_day.into_iter().find(|key| key.name() == name))
    }

    fn is_copied(&self, name: &str) -> bool {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn set_copied(&self, name: String) {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

/// The file as it is, or what `age -d` gives the outside recipient: an identity to open with.
/// The same each time it is made.
fn copy_of(keys: &DayKeys, key: &DayKey, recipient: Option<Recipient>) -> Result<Vec<u8>, KeyError> {
    let Some(recipient) = recipient else { return keys.sealed_file(key) };
    let identity = keys.identity(key)?;
    let secret = identity.reveal();
    let text = format!("# optag, {}, {}\n{}\n", key.day, key.recipient, secret.as_str());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let hash = hash.as_ref().try_into().map_err(|_| SealError::Crypto)?;
    let mut sealer = Sealer::new(&FileKey::of(identity.bytes(), hash)?, &recipient)?;
    sealer.push(zeroize::Zeroizing::new(text).as_bytes())?;
    Ok(sealer.finish()?)
}

fn write_copy(path: &Path, file: &[u8]) -> Result<(), KeyError> {
    optag_files::atomic_file::replace(path, file).map_err(|source| KeyError::Disk {
        step: "copy a key to",
        path: path.to_owned(),
        source,
    })
}

fn remove_copy(path: &Path) -> Result<(), KeyError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(KeyError::Disk { step: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
