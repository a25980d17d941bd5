//! Single-use hand-out links. In: a token from a citizen's browser. Out: the hand-out that it stands for,
//! once, whichever node is asked. Links stand in the index, by the SHA-256 of their token alone. The use of a link is
//! durable before anything is served; the browser that used it may use it again for [`AGAIN_MIN`], because a download
//! can be interrupted.
//!
//! Links of an earlier version, in a file of one node, go into the index before the first one is looked at.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::sheet::Language;
use crate::index::{Index, IndexError, LinkRow, UsedLink};
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::id::CallId;

/// Number of open links beyond which none is created.
const LINKS: u64 = 10_000;
/// Maximum lifetime of a link. Units: hours.
pub const MOST_HOURS: u32 = 14 * 24;
/// How long the browser that used a link may use it again. Units: min.
pub const AGAIN_MIN: i64 = 15;

/// The hand-out of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
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
    /// Number of the case that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It may still be used.
    Open,
    /// It was used.
    Used(WallTime),
    /// It expired unused, or was revoked.
    Gone,
}

/// A new link.
#[derive(Clone, Debug)]
pub struct MadeLink {
    /// Its token, which cannot be shown again.
    pub token: String,
    /// By which it is asked for afterwards: SHA-256 of the token, in hexadecimal.
    pub sha256: String,
}

/// A link in the file of an earlier version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlierLink {
    sha256: String,
    recording: CallId,
    wav: bool,
    own_voice_only: bool,
    language: Language,
    made_by: String,
    expires_at: WallTime,
    #[serde(default)]
    taken: Option<Taken>,
}

/// The use of a link in such a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    at: WallTime,
    browser_sha256: String,
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
    /// The links cannot be read or written.
    #[error("links unavailable: {0}")]
    Index(#[from] IndexError),
    /// No random numbers, or the file of an earlier version cannot be read or removed.
    #[error("links unavailable: {0}")]
    Disk(#[from] io::Error),
}

/// The links of an index.
pub struct Links {
    index: Index,
    /// The file of an earlier version, until its links are in the index.
    earlier: Mutex<Option<PathBuf>>,
}

impl Links {
    /// The links in `index`, and those of an earlier version in the file `earlier`, which need not exist.
    pub fn new(index: Index, earlier: PathBuf) -> Self {
        Self { index, earlier: Mutex::new(Some(earlier)) }
    }

    /// Creates a link.
    ///
    /// Errors: the limit is reached, or it is not durable.
    pub async fn make(
        &self,
        link: &Link,
        expires_at: WallTime,
        now: WallTime,
    ) -> Result<MadeLink, LinkError> {
        self.take_over(now).await?;
        if self.index.open_links(now).await? >= LINKS {
            return Err(LinkError::TooMany);
        }
        let token = secret()?;
        let sha256 = hash(&token);
        let row = LinkRow { sha256: sha256.clone(), content: content(link)?, expires_at, used: None };
        self.index.put_links(&[row], now).await?;
        Ok(MadeLink { token, sha256 })
    }

    /// What became of a link, by the hash of its token.
    ///
    /// Errors: the links cannot be read.
    pub async fn state(&self, sha256: &str, now: WallTime) -> Result<LinkState, LinkError> {
        Ok(match self.index.link(sha256).await? {
            Some(LinkRow { used: Some(used), .. }) => LinkState::Used(used.at),
            Some(row) if now < row.expires_at => LinkState::Open,
            _ => LinkState::Gone,
        })
    }

    /// Revokes a link that was not used; returns whether there was one.
    ///
    /// Errors: it is not durable.
    pub async fn revoke(&self, sha256: &str) -> Result<bool, LinkError> {
        Ok(self.index.drop_link(sha256).await?)
    }

    /// Whether a token would be accepted now, from a browser with that secret.
    ///
    /// Errors: it would not.
    pub async fn look(&self, token: &str, browser: Option<&str>, now: WallTime) -> Result<Link, LinkError> {
        self.take_over(now).await?;
        self.valid(&hash(token), browser, now).await
    }

    /// Uses a token for a browser. Once this returns, it is valid for no other one, on any node.
    ///
    /// Errors: it is not valid for this browser any more, or its use may not be durable: the browser may try again.
    pub async fn take(&self, token: &str, browser: &str, now: WallTime) -> Result<Link, LinkError> {
        self.take_over(now).await?;
        let sha256 = hash(token);
        // Of many browsers, on whichever nodes, the first one is written down; whoever is that may go on.
        self.index.use_link(&sha256, &hash(browser), now).await?;
        self.valid(&sha256, Some(browser), now).await
    }

    async fn valid(&self, sha256: &str, browser: Option<&str>, now: WallTime) -> Result<Link, LinkError> {
        let row = self.index.link(sha256).await?.filter(|row| is_valid(row, browser, now));
        let row = row.ok_or(LinkError::Unknown)?;
        Ok(serde_json::from_str(&row.content).map_err(io::Error::from)?)
    }

    /// Moves the links of an earlier version into the index, once.
    async fn take_over(&self, now: WallTime) -> Result<(), LinkError> {
        let mut earlier = self.earlier.lock().await;
        let Some(path) = earlier.as_ref() else { return Ok(()) };
        let rows = rows_in(path)?;
        if let Some(rows) = rows {
            self.index.put_links(&rows, now).await?;
            remove(path)?;
            tracing::info!(links = rows.len(), "links of an earlier version moved into the index");
        }
        *earlier = None;
        Ok(())
    }
}

/// Whether a link is valid for a browser; `None`: without a secret.
fn is_valid(row: &LinkRow, browser: Option<&str>, now: WallTime) -> bool {
    let is_again = |used: &UsedLink| {
        let presented = browser.map(hash).unwrap_or_default();
        let is_same = verify_slices_are_equal(used.browser_sha256.as_bytes(), presented.as_bytes()).is_ok();
        is_same && now < used.at.plus_micros(AGAIN_MIN * 60_000_000)
    };
    now < row.expires_at && row.used.as_ref().is_none_or(is_again)
}

/// The links of an earlier version; none if there is no file.
fn rows_in(path: &Path) -> io::Result<Option<Vec<LinkRow>>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let links: Vec<EarlierLink> = serde_json::from_slice(&text)?;
    let row = |link: EarlierLink| {
        let EarlierLink { sha256, recording, wav, own_voice_only, language, made_by, expires_at, taken } =
            link;
        let content = content(&Link { recording, wav, own_voice_only, language, made_by, case: None })?;
        let used = taken.map(|Taken { at, browser_sha256 }| UsedLink { at, browser_sha256 });
        Ok(LinkRow { sha256, content, expires_at, used })
    };
    links.into_iter().map(row).collect::<io::Result<_>>().map(Some)
}

fn content(link: &Link) -> io::Result<String> {
    Ok(serde_json::to_string(link)?)
}

fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
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
    use crate::index::IndexPlace;
    use sqlx::Connection;

    const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);

    fn link() -> Link {
        Link {
            recording: CallId::from_bytes([7; 16]),
            wav: true,
            own_voice_only: false,
            language: Language::Danish,
            made_by: "Inger".into(),
            case: None,
        }
    }

    fn minutes(count: i64) -> WallTime {
        NOW.plus_micros(count * 60_000_000)
    }

    fn links(dir: &Path) -> Links {
        let place = IndexPlace::Sqlite(dir.join("index.sqlite"));
        Links::new(Index::lazy(&place, "45").unwrap(), dir.join("links.json"))
    }

    /// The bytes of every file of a directory.
    fn bytes_in(dir: &Path) -> Vec<u8> {
        let files = fs::read_dir(dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        files.flatten().collect()
    }

    #[tokio::test]
    async fn a_link_works_for_one_browser_even_after_a_restart_and_only_hashes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let token = links(dir.path()).make(&link(), minutes(60), NOW).await.unwrap().token;
        let again = links(dir.path());
        assert_eq!(again.look(&token, None, NOW).await.unwrap(), link());
        assert_eq!(again.take(&token, "one browser", NOW).await.unwrap(), link());
        for secret in [token.as_str(), "one browser"] {
            let kept = bytes_in(dir.path());
            assert!(!kept.windows(secret.len()).any(|part| part == secret.as_bytes()));
        }
        for other in [None, Some(""), Some("another browser")] {
            assert!(matches!(links(dir.path()).look(&token, other, NOW).await, Err(LinkError::Unknown)));
        }
        assert!(matches!(again.take(&token, "another browser", NOW).await, Err(LinkError::Unknown)));
    }

    #[tokio::test]
    async fn the_browser_that_used_a_link_may_use_it_again_for_some_minutes_and_not_longer() {
        let dir = tempfile::tempdir().unwrap();
        let links = links(dir.path());
        let token = links.make(&link(), minutes(60), NOW).await.unwrap().token;
        links.take(&token, "browser", NOW).await.unwrap();
        links.look(&token, Some("browser"), minutes(AGAIN_MIN - 1)).await.unwrap();
        links.take(&token, "browser", minutes(AGAIN_MIN - 1)).await.unwrap();
        assert!(matches!(links.take(&token, "browser", minutes(AGAIN_MIN)).await, Err(LinkError::Unknown)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_browsers_that_come_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let token = links(dir.path()).make(&link(), minutes(60), NOW).await.unwrap().token;
        // As many handles to the index as browsers: each like a node of its own.
        let all = (0..8).map(|n| {
            let (links, token) = (links(dir.path()), token.clone());
            tokio::spawn(async move { links.take(&token, &format!("browser {n}"), NOW).await.is_ok() })
        });
        let got = futures::future::join_all(all).await;
        assert_eq!(got.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
    }

    #[tokio::test]
    async fn links_of_an_earlier_version_go_on_working_and_no_copy_of_its_file_revives_a_used_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("links.json");
        let line = |token: &str, taken: &str| {
            format!(
                r#"{{"sha256":"{}","recording":"{}","wav":true,"own_voice_only":false,"language":"da",
                    "made_by":"Inger","expires_at":"{}"{taken}}}"#,
                hash(token),
                CallId::from_bytes([7; 16]),
                minutes(60),
            )
        };
        let taken = format!(r#","taken":{{"at":"{NOW}","browser_sha256":"{}"}}"#, hash("browser"));
        let text = format!("[{},{},{}]", line("a", ""), line("b", ",\"taken\":null"), line("c", &taken));
        fs::write(&file, &text).unwrap();
        let first = links(dir.path());
        for token in ["a", "b"] {
            assert_eq!(first.look(token, None, NOW).await.unwrap(), link());
        }
        assert!(matches!(first.look("c", None, NOW).await, Err(LinkError::Unknown)));
        first.look("c", Some("browser"), NOW).await.unwrap();
        assert!(!file.exists());
        first.take("a", "browser", NOW).await.unwrap();
        first.make(&link(), minutes(60), minutes(AGAIN_MIN + 1)).await.unwrap();
        // A crash between index and file, or a restored backup of the data directory.
        fs::write(&file, &text).unwrap();
        let second = links(dir.path());
        let later = minutes(AGAIN_MIN + 1);
        assert!(matches!(second.look("a", None, later).await, Err(LinkError::Unknown)));
        second.look("b", None, later).await.unwrap();
    }

    #[tokio::test]
    async fn an_expired_link_a_wrong_one_and_one_whose_use_cannot_be_written_give_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let one = links(dir.path());
        let token = one.make(&link(), minutes(60), NOW).await.unwrap().token;
        assert!(matches!(one.take(&token, "b", minutes(60)).await, Err(LinkError::Unknown)));
        assert!(matches!(one.take("", "b", NOW).await, Err(LinkError::Unknown)));
        let index = dir.path().join("index.sqlite");
        let mut locked =
            sqlx::SqliteConnection::connect_with(&sqlx::sqlite::SqliteConnectOptions::new().filename(&index))
                .await
                .unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut locked).await.unwrap();
        assert!(matches!(one.take(&token, "b", NOW).await, Err(LinkError::Index(_))));
        sqlx::raw_sql("ROLLBACK").execute(&mut locked).await.unwrap();
        assert!(one.take(&token, "b", NOW).await.is_ok());
        // The file of an earlier version that cannot be read is no reason to accept what it has not.
        fs::write(dir.path().join("links.json"), "[{").unwrap();
        assert!(matches!(links(dir.path()).look(&token, Some("b"), NOW).await, Err(LinkError::Disk(_))));
    }
}
