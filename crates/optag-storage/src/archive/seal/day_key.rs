//! One day's key as people and files name it, and what can be wrong with keys.

use std::io;
use std::path::PathBuf;

use jiff::civil::Date;

use super::SealError;
use super::identity::Recipient;
use optag_core::clock::WallTime;

/// Version of a key's file, which is the newest that is read.
pub(super) const VERSION: u32 = 1;
/// Characters of a recipient that name its file.
const TAG_CHARS: usize = 10;

/// Why the keys do not serve.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The directory.
    #[error("could not {step} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A key file is not what was written.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// A newer program wrote a key file.
    #[error(
        "{what} is a day key of version {version}; this program reads up to version {VERSION}: start the newer program"
    )]
    Newer {
        /// Which file.
        what: String,
        /// The version that it names.
        version: u32,
    },
    /// A key file is intact, and sealed by another master key.
    #[error("{} is sealed by another master key", path.display())]
    WrongMasterKey {
        /// Which.
        path: PathBuf,
    },
    /// The system's cryptography.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A key as its file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayKey {
    /// Its day.
    pub day: Date,
    /// Whom files are sealed for.
    pub recipient: Recipient,
    /// When it was made; the epoch for one that was made elsewhere.
    pub made_at: WallTime,
    /// Until when recordings need it.
    pub needed_until: WallTime,
}

impl DayKey {
    /// Whether this node made it. Another's opens, and is never sealed for: its copies elsewhere are that
    /// node's, and ours would be other bytes.
    pub fn is_own(&self) -> bool {
        self.made_at != WallTime::default()
    }

    /// `<day>-<tag>`, the same everywhere.
    pub fn name(&self) -> String {
        name(self.day, &self.recipient)
    }
}

/// The first instant after a day in UTC.
pub fn end_of(day: Date) -> WallTime {
    let next = day.tomorrow().unwrap_or(Date::MAX);
    let start = jiff::tz::Offset::UTC.to_timestamp(next.at(0, 0, 0, 0));
    start.map_or(WallTime::from_unix_micros(i64::MAX), WallTime::from_timestamp)
}

/// `<day>-<tag>`, by which the files of a key are called.
pub(super) fn name(day: Date, recipient: &Recipient) -> String {
    let text = recipient.to_string();
    let tag: String = text.chars().skip("age1".len()).take(TAG_CHARS).collect();
    format!("{day}-{tag}")
}
