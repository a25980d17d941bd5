//! Single-use hand-out links. In: a token from a citizen's browser. Out: the hand-out that it stands for,
//! once. Only the SHA-256 of a token is stored. The use of a link is durable before anything is served; the
//! browser that used it may use it again for [`AGAIN_MIN`], because a download can be interrupted. After
//! that, a used or expired link is forgotten.

use std::fs::{self};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::sheet::Language;
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::id::CallId;
use optag_files::atomic_file::replace_json;

/// Maximum number of open links.
const LINKS: usize = 10_000;
/// Maximum lifetime of a link. Units: hours.
pub const MOST_HOURS: u32 = 14 * 24;
/// How long the browser that used a link may use it again. Units: min.
pub const AGAIN_MIN: i64 = 15;

/// The hand-out of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// SHA-256 of its token, in hexadecimal.
    sha256: String,
    /// The recording.
    pub recording: CallId,
    /// Whether the audio is WAV; otherwise Opus as stored.
    pub wav: bool,
    /// Whether only the caller's own voice is included.
    pub own_voice_only: bool,
    /// Language of the cover sheet.
    pub language: Language,
    /// Who created it, for the audit.
    pub made_by: String,
    /// When it expires.
    pub expires_at: WallTime,
    /// The use of the link; `None` if unused.
    #[serde(default)]
    taken: Option<Taken>,
}

/// The use of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    /// When.
    at: WallTime,
    /// SHA-256 of the browser's secret, in hexadecimal.
    browser_sha256: String,
}

impl Link {
    /// Whether it is valid for a browser; `None`: without a secret.
    fn works_for(&self, browser: Option<&str>) -> bool {
        let Some(taken) = &self.taken else { return true };
        let presented = browser.map(hash).unwrap_or_default();
        verify_slices_are_equal(taken.browser_sha256.as_bytes(), presented.as_bytes()).is_ok()
    }

    fn is_over(&self, now: WallTime) -> bool {
        let again = |taken: &Taken| now < taken.at.plus_micros(AGAIN_MIN * 60_000_000);
        now >= self.expires_at || !self.taken.as_ref().is_none_or(again)
    }
}

/// The content of a new link: a [`Link`] before it has a token.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The recording.
    pub recording: CallId,
    /// Whether the audio is WAV; otherwise Opus as stored.
    pub wav: bool,
    /// Whether only the caller's own voice is included.
    pub own_voice_only: bool,
    /// Language of the cover sheet.
    pub language: Language,
    /// Who creates it.
    pub made_by: String,
    /// When it expires.
    pub expires_at: WallTime,
}

/// Why a link is refused.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such link: never existed, used or expired, without saying which.
    #[error("this link does not work, or no longer")]
    Unknown,
    /// The limit is reached.
    #[error("limit of {LINKS} open links reached")]
    TooMany,
    /// Disk error, or the file is not the recorder's.
    #[error("cannot save links: {0}")]
    Disk(#[from] io::Error),
}

/// The links of one data directory.
pub struct Links {
    path: PathBuf,
    turn: Mutex<()>,
}

impl Links {
    /// The links stored in `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), turn: Mutex::new(()) }
    }

    /// Creates a link and returns its token, which cannot be shown again. Blocking.
    ///
    /// Errors: the limit is reached, or it is not durable.
    pub fn make(&self, new: NewLink, now: WallTime) -> Result<String, LinkError> {
        let _turn = self.turn();
        let mut links = self.open_links(now)?;
        if links.len() >= LINKS {
            return Err(LinkError::TooMany);
        }
        let token = secret()?;
        let NewLink { recording, wav, own_voice_only, language, made_by, expires_at } = new;
        let sha256 = hash(&token);
        let taken = None;
        links.push(Link { sha256, recording, wav, own_voice_only, language, made_by, expires_at, taken });
        replace_json(&self.path, &links)?;
        Ok(token)
    }

    /// Whether a token would be accepted now, from a browser with that secret. Blocking.
    ///
    /// Errors: it would not.
    pub fn look(&self, token: &str, browser: Option<&str>, now: WallTime) -> Result<Link, LinkError> {
        let _turn = self.turn();
        let links = self.open_links(now)?;
        let link = find(&links, token).filter(|link| link.works_for(browser));
        link.cloned().ok_or(LinkError::Unknown)
    }

    /// Uses a token for a browser. Once this returns, it is valid for no other one. Blocking.
    ///
    /// Errors: it is not valid for this browser any more, or its use is not durable.
    pub fn take(&self, token: &str, browser: &str, now: WallTime) -> Result<Link, LinkError> {
        let _turn = self.turn();
        let mut links = self.open_links(now)?;
        let sha256 = find(&links, token).ok_or(LinkError::Unknown)?.sha256.clone();
        let link = links.iter_mut().find(|link| link.sha256 == sha256).ok_or(LinkError::Unknown)?;
        if !link.works_for(Some(browser)) {
            return Err(LinkError::Unknown);
        }
        if link.taken.is_none() {
            link.taken = Some(Taken { at: now, browser_sha256: hash(browser) });
        }
        let taken = link.clone();
        replace_json(&self.path, &links)?;
        Ok(taken)
    }

    /// The unexpired links.
    fn open_links(&self, now: WallTime) -> Result<Vec<Link>, LinkError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut links: Vec<Link> = serde_json::from_slice(&text).map_err(io::Error::from)?;
        links.retain(|link| !link.is_over(now));
        Ok(links)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares with every link, in a time independent of where a token differs.
fn find<'a>(links: &'a [Link], token: &str) -> Option<&'a Link> {
    let presented = hash(token);
    let same = |link: &&Link| verify_slices_are_equal(link.sha256.as_bytes(), presented.as_bytes()).is_ok();
    links.iter().fold(None, |found, link| if same(&link) { Some(link) } else { found })
}

/// 32 random bytes in hexadecimal.
///
/// Errors: no random numbers available.
pub fn secret() -> io::Result<String> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| io::Error::other("no random bytes from the system"))?;
    Ok(hex(&secret))
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
    fn a_link_works_for_one_browser_even_after_a_restart_and_only_hashes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let token = Links::new(&path).make(new(1), NOW).unwrap();
        let again = Links::new(&path);
        assert_eq!(again.look(&token, None, NOW).unwrap().recording, new(1).recording);
        assert_eq!(again.take(&token, "one browser", NOW).unwrap().made_by, "Inger");
        let kept = fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&token) && !kept.contains("one browser"));
        for other in [None, Some(""), Some("another browser")] {
            assert!(matches!(Links::new(&path).look(&token, other, NOW), Err(LinkError::Unknown)));
        }
        assert!(matches!(again.take(&token, "another browser", NOW), Err(LinkError::Unknown)));
    }

    #[test]
    fn the_browser_that_used_a_link_may_use_it_again_for_some_minutes_and_not_longer() {
        let dir = tempfile::tempdir().unwrap();
        let links = Links::new(dir.path().join("links.json"));
        let token = links.make(new(1), NOW).unwrap();
        links.take(&token, "browser", NOW).unwrap();
        let minutes = |count: i64| NOW.plus_micros(count * 60_000_000);
        links.look(&token, Some("browser"), minutes(AGAIN_MIN - 1)).unwrap();
        links.take(&token, "browser", minutes(AGAIN_MIN - 1)).unwrap();
        assert!(matches!(links.take(&token, "browser", minutes(AGAIN_MIN)), Err(LinkError::Unknown)));
    }

    #[test]
    fn of_many_browsers_that_come_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let links = Links::new(dir.path().join("links.json"));
        let token = links.make(new(1), NOW).unwrap();
        let take = |n: usize| usize::from(links.take(&token, &format!("browser {n}"), NOW).is_ok());
        let got: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|n| scope.spawn(move || take(n))).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(got, 1);
    }

    #[test]
    fn a_file_of_the_release_before_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let token = Links::new(&path).make(new(1), NOW).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let old = text.replace(",\"taken\":null", "").replace(",\n    \"taken\": null", "");
        assert_ne!(old, text);
        fs::write(&path, old).unwrap();
        Links::new(&path).look(&token, None, NOW).unwrap();
    }

    #[test]
    fn an_expired_link_a_wrong_one_and_one_whose_use_cannot_be_written_give_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let links = Links::new(&path);
        let token = links.make(new(1), NOW).unwrap();
        let later = NOW.plus_micros(3_600_000_000);
        assert!(matches!(links.take(&token, "b", later), Err(LinkError::Unknown)));
        assert!(matches!(links.take("", "b", NOW), Err(LinkError::Unknown)));
        fs::create_dir(path.with_extension("json.new")).unwrap();
        assert!(matches!(links.take(&token, "b", NOW), Err(LinkError::Disk(_))));
        fs::remove_dir(path.with_extension("json.new")).unwrap();
        assert!(links.take(&token, "b", NOW).is_ok());
    }

    #[test]
    fn invariant_05_a_link_that_is_not_durable_is_not_given_out() {
        optag_testing::faults::holds_under(
            optag_testing::test_name!(),
            &[&["fsync:error=EIO:when=1"]],
            |_| {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("links.json");
                assert!(Links::new(&path).make(new(1), NOW).is_err());
                let token = Links::new(&path).make(new(1), NOW).unwrap();
                Links::new(&path).look(&token, None, NOW).unwrap();
            },
        );
    }
}
