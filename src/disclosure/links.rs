//! Links that hand a recording out once. In: a token as a citizen's browser sends it. Out: what
//! it stands for, one time. Only the SHA-256 of a token is kept; a used or expired link is
//! forgotten, and that is durable before anything is served.

use std::fs::{self};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::sheet::Language;
use crate::base::clock::WallTime;
use crate::base::hex::hex;
use crate::base::id::CallId;
use crate::base::replace::replace_json;

/// Most links that are open at a time.
const LINKS: usize = 10_000;
/// Longest life of a link. Units: hours.
pub const MOST_HOURS: u32 = 14 * 24;

/// What a link hands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// SHA-256 of its token, in hexadecimal.
    sha256: String,
    /// The recording.
    pub recording: CallId,
    /// Whether the audio is WAV; else Opus as stored.
    pub wav: bool,
    /// Whether only the caller's own voice is handed out.
    pub own_voice_only: bool,
    /// Language of the cover sheet.
    pub language: Language,
    /// Who made it, for the audit.
    pub made_by: String,
    /// When it stops working.
    pub expires_at: WallTime,
}

/// What a new link is for: a [`Link`] before it has a token.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The recording.
    pub recording: CallId,
    /// Whether the audio is WAV; else Opus as stored.
    pub wav: bool,
    /// Whether only the caller's own voice is handed out.
    pub own_voice_only: bool,
    /// Language of the cover sheet.
    pub language: Language,
    /// Who makes it.
    pub made_by: String,
    /// When it stops working.
    pub expires_at: WallTime,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is none: never was, was used, or has expired. Which one is nobody's business.
    #[error("this link does not work, or no longer")]
    Unknown,
    /// There are too many.
    #[error("there are {LINKS} open links already")]
    TooMany,
    /// The disk refused, or the file is not ours.
    #[error("the links cannot be kept: {0}")]
    Disk(#[from] io::Error),
}

/// The links of one data directory.
pub struct Links {
    path: PathBuf,
    turn: Mutex<()>,
}

impl Links {
    /// The links kept in `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), turn: Mutex::new(()) }
    }

    /// Makes a link and returns its token, the only time that it is seen. Blocking.
    ///
    /// Errors: there are too many, or it is not durable.
    pub fn make(&self, new: NewLink, now: WallTime) -> Result<String, LinkError> {
        let _turn = self.turn();
        let mut links = self.open_links(now)?;
        if links.len() >= LINKS {
            return Err(LinkError::TooMany);
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| io::Error::other("no random numbers"))?;
        let token = hex(&secret);
        let NewLink { recording, wav, own_voice_only, language, made_by, expires_at } = new;
        let sha256 = hash(&token);
        links.push(Link { sha256, recording, wav, own_voice_only, language, made_by, expires_at });
        replace_json(&self.path, &links)?;
        Ok(token)
    }

    /// Whether a token would be taken now. Blocking.
    ///
    /// Errors: it would not.
    pub fn look(&self, token: &str, now: WallTime) -> Result<Link, LinkError> {
        let _turn = self.turn();
        find(&self.open_links(now)?, token).cloned().ok_or(LinkError::Unknown)
    }

    /// Takes a token, for the one time. Once this returns, it works no more. Blocking.
    ///
    /// Errors: there is no such link any more, or its end is not durable.
    pub fn take(&self, token: &str, now: WallTime) -> Result<Link, LinkError> {
        let _turn = self.turn();
        let mut links = self.open_links(now)?;
        let taken = find(&links, token).cloned().ok_or(LinkError::Unknown)?;
        links.retain(|link| link.sha256 != taken.sha256);
        replace_json(&self.path, &links)?;
        Ok(taken)
    }

    /// Those that have not expired.
    fn open_links(&self, now: WallTime) -> Result<Vec<Link>, LinkError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut links: Vec<Link> = serde_json::from_slice(&text).map_err(io::Error::from)?;
        links.retain(|link| now < link.expires_at);
        Ok(links)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at every link, in a time that does not depend on where a token differs.
fn find<'a>(links: &'a [Link], token: &str) -> Option<&'a Link> {
    let presented = hash(token);
    let same = |link: &&Link| verify_slices_are_equal(link.sha256.as_bytes(), presented.as_bytes()).is_ok();
    links.iter().fold(None, |found, link| if same(&link) { Some(link) } else { found })
}

fn hash(token: &str) -> String {
    hex(digest(&SHA256, token.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);

    fn new(hours: i64) -> NewLink {
        NewLink {
            recording: CallId::from_bytes([7; 16]),
            wav: true,
            own_voice_only: false,
            language: Language::Danish,
            made_by: "Inger".into(),
            expires_at: NOW.plus_micros(hours * 3_600_000_000),
        }
    }

    #[test]
    fn a_link_works_once_even_after_a_restart_and_only_its_hash_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let token = Links::new(&path).make(new(1), NOW).unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains(&token));
        let again = Links::new(&path);
        assert_eq!(again.look(&token, NOW).unwrap().recording, new(1).recording);
        assert_eq!(again.take(&token, NOW).unwrap().made_by, "Inger");
        assert!(matches!(again.take(&token, NOW), Err(LinkError::Unknown)));
        assert!(matches!(Links::new(&path).take(&token, NOW), Err(LinkError::Unknown)));
    }

    #[test]
    fn of_many_who_come_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let links = Links::new(dir.path().join("links.json"));
        let token = links.make(new(1), NOW).unwrap();
        let got: usize = std::thread::scope(|scope| {
            let all: Vec<_> =
                (0..8).map(|_| scope.spawn(|| usize::from(links.take(&token, NOW).is_ok()))).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(got, 1);
    }

    #[test]
    fn an_expired_link_a_wrong_one_and_one_that_cannot_be_ended_give_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let links = Links::new(&path);
        let token = links.make(new(1), NOW).unwrap();
        let later = NOW.plus_micros(3_600_000_000);
        assert!(matches!(links.take(&token, later), Err(LinkError::Unknown)));
        assert!(matches!(links.take("", NOW), Err(LinkError::Unknown)));
        fs::create_dir(path.with_extension("json.new")).unwrap();
        assert!(matches!(links.take(&token, NOW), Err(LinkError::Disk(_))));
        fs::remove_dir(path.with_extension("json.new")).unwrap();
        assert!(links.take(&token, NOW).is_ok());
    }
}
