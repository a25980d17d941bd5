//! Access tokens: 256 random bits, of which only the SHA-256 is stored.
//!
//! In: a token from a client. Out: its [`Actor`]. The file is reloaded when it changes, so that a token
//! created or revoked by a command takes effect at once.

use std::fs::{self};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{Actor, BadRoles, Departments, Permission, Role, Roles};
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::limit;
use optag_files::atomic_file::replace_json;

/// Prefix of every token, by which scanners for leaked secrets can recognise it.
const PREFIX: &str = "optag_";
/// Maximum number of tokens.
const TOKENS: usize = 1_000;

/// Why a token file cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Disk error.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("{}: readable by others; run chmod 600 on it", path.display())]
    TooOpen {
        /// Its path.
        path: PathBuf,
    },
    /// The file is malformed.
    #[error("{}: not a token file: {reason}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A token of this name exists.
    #[error("there is already a token of this name")]
    NameTaken,
    /// The name is empty, too long, or has control characters.
    #[error("a name has 1 to {} characters", limit::TEXT_CHARS)]
    BadName,
    /// There is no such token.
    #[error("there is no token of this name")]
    NoSuchToken,
    /// The roles do not go together.
    #[error(transparent)]
    BadRoles(#[from] BadRoles),
    /// The role concerns the whole installation.
    #[error("the roles admin and administrator concern the whole installation: their departments are `all`")]
    OfAll,
    /// The role shows what people said.
    #[error("say which departments the token is for: some of them, or all")]
    NoDepartments,
    /// The file is full.
    #[error("there are {TOKENS} tokens already")]
    TooMany,
}

/// A token to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its user; unique; appears in the audit log.
    pub name: String,
    /// What for.
    pub roles: Roles,
    /// The departments that bound it; none given: all, for roles that show nothing of what people said.
    pub departments: Option<Departments>,
}

impl NewToken {
    /// One with a single role, in all departments.
    pub fn of(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), roles: Roles::one(role), departments: Some(Departments::All) }
    }

    /// Its departments.
    ///
    /// Errors: they must be named, or must be all.
    fn bounds(&self) -> Result<Departments, TokenError> {
        let of_all = self.roles.iter().any(Role::is_of_all);
        match &self.departments {
            None if !of_all && self.roles.iter().any(Role::names_departments) => {
                Err(TokenError::NoDepartments)
            }
            Some(Departments::Only(_)) if of_all => Err(TokenError::OfAll),
            Some(Departments::Only(ids)) if ids.is_empty() => Err(TokenError::NoDepartments),
            given => Ok(given.clone().unwrap_or_default()),
        }
    }
}

/// A token as stored and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct StoredToken {
    /// Its user; unique; appears in the audit log.
    pub name: String,
    /// What for.
    pub roles: Roles,
    /// The departments that bound it.
    pub departments: Departments,
    /// SHA-256 of the token, in hex.
    pub sha256: String,
    /// When it was created.
    pub created_at: WallTime,
}

/// A token as this version and earlier ones wrote it: these knew one role and no departments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    role: Option<Role>,
    roles: Option<Roles>,
    departments: Option<Departments>,
    sha256: String,
    created_at: WallTime,
}

impl TryFrom<Written> for StoredToken {
    type Error = BadRoles;

    fn try_from(written: Written) -> Result<Self, BadRoles> {
        let Written { name, role, roles, departments, sha256, created_at } = written;
        let roles = match (roles, role) {
            (Some(roles), _) => Roles::new(roles.iter())?,
            (None, Some(role)) => Roles::one(role),
            (None, None) => return Err(BadRoles::None),
        };
        Ok(Self { name, roles, departments: departments.unwrap_or_default(), sha256, created_at })
    }
}

/// The tokens of one data directory.
pub struct Tokens {
    path: PathBuf,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    tokens: Vec<StoredToken>,
    stamp: Option<Stamp>,
}

/// Identifies a version of the file: inode, length, modification time in ns.
type Stamp = (u64, u64, i64);

impl Tokens {
    /// The tokens stored in `path`, which need not exist yet.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let path = path.into();
        let loaded = Mutex::new(load(&path)?);
        Ok(Self { path, loaded })
    }

    /// The actor of `token`. Compares with every token, in a time independent of where it differs. If the
    /// file has become unreadable, nobody is admitted.
    pub fn authenticate(&self, token: &str) -> Option<Actor> {
        let presented = hex(digest(&SHA256, token.as_bytes()).as_ref());
        let loaded = self.fresh().ok()?;
        let mut found = None;
        for stored in &loaded.tokens {
            if verify_slices_are_equal(stored.sha256.as_bytes(), presented.as_bytes()).is_ok() {
                let StoredToken { name, roles, departments, .. } = stored.clone();
                found = Some(Actor { name, roles, departments });
            }
        }
        found
    }

    /// Creates a token and returns it; it cannot be shown again.
    pub fn create(&self, new: &NewToken, now: WallTime) -> Result<String, TokenError> {
        let mut loaded = self.fresh()?;
        let (name, departments) = (new.name.as_str(), new.bounds()?);
        if name.is_empty()
            || name.chars().count() > limit::TEXT_CHARS
            || !optag_core::call::text::is_plain(name)
        {
            return Err(TokenError::BadName);
        }
        if loaded.tokens.iter().any(|stored| stored.name == name) {
            return Err(TokenError::NameTaken);
        }
        if loaded.tokens.len() >= TOKENS {
            return Err(TokenError::TooMany);
        }
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| self.disk(io::Error::other("no random numbers")))?;
        let token = format!("{PREFIX}{}", hex(&secret));
        let sha256 = hex(digest(&SHA256, token.as_bytes()).as_ref());
        let mut tokens = loaded.tokens.clone();
        let (name, roles) = (name.to_owned(), new.roles.clone());
        tokens.push(StoredToken { name, roles, departments, sha256, created_at: now });
        self.store(&mut loaded, tokens)?;
        Ok(token)
    }

    /// On the first start: an admin token. `None` if there is any admin.
    pub fn create_admin_if_none(&self, now: WallTime) -> Result<Option<String>, TokenError> {
        let runs = |stored: &StoredToken| stored.roles.allow(Permission::Administer);
        let has_admin = self.fresh()?.tokens.iter().any(runs);
        match has_admin {
            true => Ok(None),
            false => self.create(&NewToken::of("admin", Role::Admin), now).map(Some),
        }
    }

    /// Revokes the token with this name.
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut loaded = self.fresh()?;
        let left: Vec<_> = loaded.tokens.iter().filter(|stored| stored.name != name).cloned().collect();
        if left.len() == loaded.tokens.len() {
            return Err(TokenError::NoSuchToken);
        }
        self.store(&mut loaded, left)
    }

    /// All tokens.
    pub fn list(&self) -> Result<Vec<StoredToken>, TokenError> {
        Ok(self.fresh()?.tokens.clone())
    }

    fn fresh(&self) -> Result<MutexGuard<'_, Loaded>, TokenError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if loaded.stamp != stamp(&self.path) {
            *loaded = load(&self.path)?;
        }
        Ok(loaded)
    }

    fn store(&self, loaded: &mut Loaded, tokens: Vec<StoredToken>) -> Result<(), TokenError> {
        let dir = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        dir.and_then(|()| replace_json(&self.path, &tokens)).map_err(|source| self.disk(source))?;
        *loaded = Loaded { tokens, stamp: stamp(&self.path) };
        Ok(())
    }

    fn disk(&self, source: io::Error) -> TokenError {
        TokenError::Disk { path: self.path.clone(), source }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec())))
}

fn load(path: &Path) -> Result<Loaded, TokenError> {
    let stamp = stamp(path);
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(source) => return Err(TokenError::Disk { path: path.to_owned(), source }),
    };
    if fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 != 0) {
        return Err(TokenError::TooOpen { path: path.to_owned() });
    }
    let tokens = serde_json::from_slice(&text)
        .map_err(|error| TokenError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Loaded { tokens, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_micros(1_700_000_000_000_000);

    fn open(dir: &tempfile::TempDir) -> Tokens {
        Tokens::open(dir.path().join("tokens.json")).unwrap()
    }

    #[test]
    fn a_token_is_shown_once_and_kept_only_as_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let token = open(&dir).create_admin_if_none(NOW).unwrap().unwrap();
        assert_eq!(token.len(), PREFIX.len() + 64);
        let again = open(&dir);
        assert_eq!(again.create_admin_if_none(NOW).unwrap(), None);
        assert_eq!(again.authenticate(&token).unwrap(), Actor::with_role("admin", Role::Admin));
        let kept = fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(!kept.contains(&token[PREFIX.len()..]));
        assert_eq!(fs::metadata(dir.path().join("tokens.json")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_made_or_revoked_elsewhere_holds_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (server, command) = (open(&dir), open(&dir));
        let token = command.create(&NewToken::of("pbx", Role::Feed), NOW).unwrap();
        assert_eq!(server.authenticate(&token).unwrap().roles, Roles::one(Role::Feed));
        command.revoke("pbx").unwrap();
        assert_eq!(server.authenticate(&token), None);
        assert!(matches!(command.revoke("pbx"), Err(TokenError::NoSuchToken)));
    }

    #[test]
    fn a_wrong_token_or_a_name_twice_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(&dir);
        tokens.create(&NewToken::of("a", Role::Listener), NOW).unwrap();
        assert!(matches!(tokens.create(&NewToken::of("a", Role::Feed), NOW), Err(TokenError::NameTaken)));
        assert!(matches!(tokens.create(&NewToken::of("", Role::Feed), NOW), Err(TokenError::BadName)));
        assert_eq!(tokens.authenticate(""), None);
        assert_eq!(tokens.authenticate("optag_00"), None);
    }

    #[test]
    fn what_a_token_is_bound_to_stands_in_the_file_and_earlier_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = open(&dir);
        let new = |role: &str, departments: Option<Departments>| NewToken {
            name: role.to_owned(),
            roles: role.parse().unwrap(),
            departments,
        };
        let create = |role: &str, departments| tokens.create(&new(role, departments), NOW);
        for role in ["listener", "contact", "supervisor"] {
            assert!(matches!(create(role, None), Err(TokenError::NoDepartments)), "{role}");
        }
        assert!(matches!(
            create("listener", Some(Departments::only::<&str>([]))),
            Err(TokenError::NoDepartments)
        ));
        assert!(matches!(create("administrator", Some(Departments::only(["tax"]))), Err(TokenError::OfAll)));
        let bound = create("listener,contact", Some(Departments::only(["tax"]))).unwrap();
        create("feed", None).unwrap();
        let kept = fs::read_to_string(dir.path().join("tokens.json")).unwrap().replace([' ', '\n'], "");
        assert!(
            kept.contains("\"departments\":[\"tax\"]") && kept.contains("\"departments\":\"all\""),
            "{kept}"
        );
        let actor = open(&dir).authenticate(&bound).unwrap();
        assert!(actor.departments.cover("tax") && !actor.departments.cover("care"));
        assert_eq!(actor.roles.to_string(), "listener,contact");

        let path = dir.path().join("tokens.json");
        let old = format!(
            r#"[{{"name":"eo","role":"erasure-officer","sha256":"{}","created_at":"2026-01-01T00:00:00Z"}}]"#,
            hex(digest(&SHA256, b"old").as_ref())
        );
        fs::write(&path, old).unwrap();
        assert_eq!(open(&dir).authenticate("old"), Some(Actor::with_role("eo", Role::Contact)));
        fs::write(&path, r#"[{"name":"x","sha256":"","created_at":"2026-01-01T00:00:00Z"}]"#).unwrap();
        assert!(matches!(Tokens::open(&path), Err(TokenError::Malformed { .. })));
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_broken_admits_nobody() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let tokens = open(&dir);
        let token = tokens.create(&NewToken::of("a", Role::Admin), NOW).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Tokens::open(&path), Err(TokenError::TooOpen { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "[]x").unwrap();
        assert_eq!(tokens.authenticate(&token), None);
        assert!(matches!(Tokens::open(&path), Err(TokenError::Malformed { .. })));
    }

    #[test]
    fn invariant_05_a_token_that_is_not_durable_is_not_given_out() {
        optag_testing::faults::holds_under(
            optag_testing::test_name!(),
            &[&["fsync:error=EIO:when=1"]],
            |_| {
                let dir = tempfile::tempdir().unwrap();
                let tokens = open(&dir);
                assert!(tokens.create(&NewToken::of("pbx", Role::Feed), NOW).is_err());
                let token = tokens.create(&NewToken::of("pbx", Role::Feed), NOW).unwrap();
                assert!(open(&dir).authenticate(&token).is_some());
            },
        );
    }
}
