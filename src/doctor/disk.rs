//! Room on disks, modes of files, certificates.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::app::certificates::{SOON, in_use};
use crate::app::open::LOCK;
use crate::config::{Config, MasterKeySource, StoreConfig};
use crate::doctor::Finding;
use crate::index::IndexPlace;
use optag_core::clock::{Clock, OsClock};
use optag_files::dir_lock::{DirLock, LockError};

/// Inodes that should be left: segments, keys and objects are files.
const INODES: u64 = 10_000;
/// File systems that lose what they hold, or promise less than a disk. Source: statfs(2), `f_type`.
const ODD: [(i64, &str); 4] =
    [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs"), (0x794c_7630, "overlay"), (0x6969, "nfs")];

/// Whether a recorder has the data directory.
pub(super) fn recorder_runs(config: &Config) -> bool {
    let lock = config.data_dir.join(LOCK);
    lock.exists() && matches!(DirLock::take(&config.data_dir, &lock, None), Err(LockError::InUse { .. }))
}

/// What is known of a file system. Units: bytes, inodes.
struct FileSystem {
    free_bytes: u64,
    /// 0 where the file system counts none.
    inodes: u64,
    free_inodes: u64,
    odd: Option<&'static str>,
}

fn file_system(dir: &Path) -> io::Result<FileSystem> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: all zeroes are a valid value of this plain structure.
    let mut facts: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated, and the structure is valid for writes.
    if unsafe { libc::statfs(path.as_ptr(), &mut facts) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let odd = ODD.iter().find(|(number, _)| *number == facts.f_type).map(|(_, name)| *name);
    Ok(FileSystem {
        free_bytes: facts.f_bavail.saturating_mul(u64::try_from(facts.f_frsize).unwrap_or(0)),
        inodes: facts.f_files,
        free_inodes: facts.f_ffree,
        odd,
    })
}

/// The directory, or the nearest one above it that there is.
fn existing(dir: &Path) -> PathBuf {
    let there = dir.ancestors().find(|dir| !dir.as_os_str().is_empty() && dir.exists());
    there.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Room for spool, store and index, and whether they can be written.
pub(super) fn room(config: &Config) -> Vec<Finding> {
    let mut dirs =
        vec![("data_dir", config.data_dir.clone(), 1 << 30), ("spool.dir", config.spool.dir.clone(), 0)];
    if let StoreConfig::Local { dir } = &config.store {
        dirs.push(("store.dir", dir.clone(), 1 << 30));
    }
    if let IndexPlace::Sqlite(file) = &config.index
        && let Some(dir) = file.parent()
    {
        dirs.push(("index.path", dir.to_owned(), 1 << 30));
    }
    let mut findings = Vec::new();
    for (key, dir, least) in dirs {
        let there = existing(&dir);
        let place = dir.display();
        if let Err(error) = tempfile_in(&there) {
            findings.push(Finding::wrong(
                key,
                format!("{place} cannot be written: {error}"),
                format!("chown {} to the user that the recorder runs as", there.display()),
            ));
            continue;
        }
        let system = match file_system(&there) {
            Ok(system) => system,
            Err(error) => {
                findings.push(Finding::wrong(key, format!("{place}: {error}"), "see the error"));
                continue;
            }
        };
        findings.push(judge(key, &dir, &system, config, least));
    }
    findings
}

fn judge(key: &str, dir: &Path, system: &FileSystem, config: &Config, least: u64) -> Finding {
    let place = dir.display();
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let detail = format!("{place}: {:.1} GiB free", gib(system.free_bytes));
    let spool = key == "spool.dir";
    let floor = if spool { config.spool.min_free_bytes } else { least };
    if system.free_bytes <= floor {
        let mend =
            format!("more than {:.1} GiB are needed: make room, or choose another disk ({key})", gib(floor));
        return Finding::wrong(key, detail, mend);
    }
    if system.inodes > 0 && system.free_inodes < INODES {
        let detail = format!("{detail}, {} inodes free", system.free_inodes);
        return Finding::wrong(key, detail, "remove small files, or make the file system with more inodes");
    }
    if let Some(odd) = system.odd {
        let mend = match odd {
            "overlay" => "mount a volume there: the container's own layer goes with it",
            "nfs" => "use a local disk: syncs and locks over NFS promise less",
            _ => "use a disk: memory is lost at a power cut",
        };
        return Finding::warning(key, format!("{detail}, on {odd}"), mend);
    }
    if spool && system.free_bytes < config.spool.max_bytes {
        return Finding::warning(
            key,
            format!("{detail}, and the spool may take {:.0} (spool.max_gib)", gib(config.spool.max_bytes)),
            "lower spool.max_gib, or use a larger disk: calls are refused once spool.min_free_gib is reached",
        );
    }
    Finding::ok(key, detail)
}

/// Whether a file can be made in a directory.
fn tempfile_in(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".optag-doctor-{}", std::process::id()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)
}

/// Whether others can read what is secret.
pub(super) fn modes(config: &Config) -> Vec<Finding> {
    let mut secrets: Vec<(&str, PathBuf)> = vec![
        ("data_dir", config.data_dir.clone()),
        ("spool.dir", config.spool.dir.clone()),
        ("seal.keys_dir", config.seal.keys_dir.clone()),
        ("tokens", config.tokens_path.clone()),
        ("retention.signing_key_file", config.signing_key_file.clone()),
    ];
    if let MasterKeySource::File(path) = &config.spool.master_key {
        secrets.push(("spool.master_key_file", path.clone()));
    }
    if let Some(tls) = &config.sip.listen.tls_files {
        secrets.push(("sip.key_file", tls.key.clone()));
    }
    if let StoreConfig::S3(s3) = &config.store {
        secrets.extend(s3.credentials_file.iter().map(|path| ("store.credentials_file", path.clone())));
    }
    let mut findings = Vec::new();
    for (key, path) in secrets {
        let Ok(facts) = std::fs::metadata(&path) else { continue };
        let mode = facts.mode() & 0o7777;
        let place = path.display();
        let wanted = if facts.is_dir() { 0o700 } else { 0o600 };
        findings.push(match mode & 0o077 {
            0 => Finding::ok(key, format!("{place} has mode {mode:04o}")),
            // Groups of a service may share the key of a certificate.
            loose if loose & 0o037 == 0 && key == "sip.key_file" => {
                Finding::ok(key, format!("{place} has mode {mode:04o}: its group may read it"))
            }
            _ => Finding::wrong(
                key,
                format!("{place} has mode {mode:04o}: others than its owner may read it"),
                format!("chmod {wanted:o} {place}"),
            ),
        });
    }
    findings
}

/// Dates of certificates.
pub(super) fn certificates(config: &Config) -> Vec<Finding> {
    let now = OsClock.wall();
    let judged = in_use(config).into_iter().map(|file| {
        let place = file.path.display();
        match file.expires_at() {
            Err(error) => {
                Finding::wrong(file.key, format!("{place}: {error}"), "name a PEM file with a certificate")
            }
            Ok(at) if at <= now => Finding::wrong(file.key, format!("{place} expired at {at}"), "renew it"),
            Ok(at) if at.micros_since(now) < SOON.as_micros() as i64 => {
                Finding::warning(file.key, format!("{place} expires at {at}"), "renew it")
            }
            Ok(at) => Finding::ok(file.key, format!("{place} is valid until {at}")),
        }
    });
    judged.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_secret_that_others_may_read_is_wrong_and_a_private_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("master.key");
        std::fs::write(&key, "secret").unwrap();
        let text = format!("data_dir = '{}'\n", dir.path().display());
        let config = Config::parse(&text, []).unwrap();
        let states = |mode: u32| {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            modes(&config).into_iter().find(|one| one.check == "spool.master_key_file").unwrap()
        };
        assert_eq!(states(0o600).state, State::Ok);
        let found = states(0o640);
        assert!(found.state == State::Wrong && found.mend.starts_with("chmod 600"), "{found:?}");
        assert!(!found.detail.contains("secret"));
    }

    #[test]
    fn room_is_judged_by_what_the_parts_need() {
        let config = Config::parse("[spool]\nmax_gib = 20\nmin_free_gib = 2\n", []).unwrap();
        let of = |gib: u64, free_inodes, odd| {
            let system = FileSystem { free_bytes: gib << 30, inodes: 1_000_000, free_inodes, odd };
            judge("spool.dir", Path::new("/spool"), &system, &config, 0).state
        };
        assert_eq!(of(30, 500_000, None), State::Ok);
        assert_eq!(of(10, 500_000, None), State::Warning, "less than the spool may take");
        assert_eq!(of(2, 500_000, None), State::Wrong, "less than it leaves free");
        assert_eq!(of(30, 9, None), State::Wrong, "no inodes");
        assert_eq!(of(30, 500_000, Some("tmpfs")), State::Warning);
        assert!(file_system(Path::new("/")).unwrap().free_bytes > 0);
    }
}
