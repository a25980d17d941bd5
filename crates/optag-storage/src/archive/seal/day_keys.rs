//! The key pairs of the days, in a directory. In: a day. Out: whom to seal for, what opens, and
//! the end of a key. Not here: copies elsewhere (`vault`), and which recordings are due.
//!
//! ```text
//! <day>-<tag>.key        JSON: day, recipient, when made, the identity sealed under the master key
//! <day>-<tag>.until      until when recordings need it; only ever raised
//! <day>-<tag>.destroyed  overwritten; copies elsewhere may be left
//! lock                   held while anything here changes, by whichever process
//! ```
//! The tag is the first of the recipient. A day has one key unless it was rotated or another
//! node's was brought in. Of those that this node made the newest is sealed for; all of them open. Blocking.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SealError;
pub use super::day_key::{DayKey, KeyError, end_of};
use super::day_key::{VERSION, name};
use super::identity::{Identity, Recipient};
use crate::spool::MasterKey;
use optag_core::clock::WallTime;
use optag_core::hex::{hex, unhex};
use optag_core::limit::RETENTION_DAYS;
use optag_files::atomic_file::replace;
use optag_files::durable_dir;

#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    day: Date,
    recipient: String,
    made_at: WallTime,
    /// The identity, sealed under the master key; hexadecimal.
    sealed: String,
}

impl KeyFile {
    /// Reads a file; `None` where it is none. `what` names it.
    ///
    /// Errors: a newer program wrote it.
    fn read(json: &[u8], what: impl FnOnce() -> String) -> Result<Option<Self>, KeyError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        match serde_json::from_slice(json) {
            Ok(Versioned { version }) if version > VERSION => Err(KeyError::Newer { what: what(), version }),
            Ok(Versioned { .. }) => Ok(serde_json::from_slice(json).ok()),
            Err(_) => Ok(None),
        }
    }
}

/// The directory.
pub struct DayKeys {
    dir: PathBuf,
    master: MasterKey,
}

impl DayKeys {
    /// Opens or makes the directory, for its owner alone.
    ///
    /// Errors: the disk's, or keys that another master key sealed or a newer program wrote: nothing may be
    /// sealed then.
    pub fn open(dir: &Path, master: MasterKey) -> Result<Self, KeyError> {
        durable_dir::make(dir).map_err(|source| disk("make", dir, source))?;
        let keys = Self { dir: dir.to_owned(), master };
        keys.finish_destroying()?;
        for key in keys.list()? {
            keys.identity(&key)?;
        }
        Ok(keys)
    }

    /// Whom a recording of that day is sealed for, which needs the key until then. Draws the
    /// day's key where there is none; it is durable before this returns.
    ///
    /// Errors: the disk's.
    pub fn recipient(&self, day: Date, needed_until: WallTime) -> Result<DayKey, KeyError> {
        if let Some(key) = newest_own(self.of(day)?)
            && key.needed_until >= needed_until
        {
            return Ok(key);
        }
        let _lock = self.lock()?;
        match newest_own(self.of(day)?) {
            Some(key) => self.raise(key, needed_until),
            None => self.add(day, Identity::draw()?, now(), needed_until),
        }
    }

    /// A new key for a day; what comes is sealed for it, what there is opens as before.
    ///
    /// Errors: the disk's.
    pub fn rotate(&self, day: Date, needed_until: WallTime) -> Result<DayKey, KeyError> {
        let _lock = self.lock()?;
        self.add(day, Identity::draw()?, now(), needed_until)
    }

    /// Takes in a key that was made elsewhere, to open what it sealed.
    ///
    /// Errors: the disk's.
    pub fn bring_in(
        &self,
        day: Date,
        identity: Identity,
        needed_until: WallTime,
    ) -> Result<DayKey, KeyError> {
        let _lock = self.lock()?;
        let recipient = identity.recipient()?;
        match self.of(day)?.into_iter().find(|key| key.recipient == recipient) {
            Some(key) => self.raise(key, needed_until),
            // By its age it is known as another's.
            None => self.add(day, identity, WallTime::default(), needed_until),
        }
    }

    /// Every key, in order of day and age.
    ///
    /// Errors: the disk's, or damage.
    pub fn list(&self) -> Result<Vec<DayKey>, KeyError> {
        self.named("")
    }

    /// The keys of one day, the oldest first.
    ///
    /// Errors: the disk's, or damage.
    pub fn of(&self, day: Date) -> Result<Vec<DayKey>, KeyError> {
        self.named(&format!("{day}-"))
    }

    fn named(&self, start: &str) -> Result<Vec<DayKey>, KeyError> {
        let mut keys = Vec::new();
        for file in self.files(".key")?.iter().filter(|file| file.starts_with(start)) {
            if let Some((key, _)) = self.read(&self.dir.join(file))? {
                keys.push(key);
            }
        }
        keys.sort_by_key(|key| (key.day, key.made_at));
        Ok(keys)
    }

    /// What opens files sealed for a key.
    ///
    /// Errors: the key is gone, damaged, or sealed by another master key.
    pub fn identity(&self, key: &DayKey) -> Result<Identity, KeyError> {
        let path = self.path(&key.name(), ".key");
        let damaged = || KeyError::Damaged { path: path.clone() };
        let (_, sealed) = self.read(&path)?.ok_or_else(damaged)?;
        let secret = self
            .master
            .open(&context(&key.name()), &sealed)
            .ok_or_else(|| KeyError::WrongMasterKey { path: path.clone() })?;
        let identity = Identity::from_bytes(secret);
        if identity.recipient()? == key.recipient { Ok(identity) } else { Err(damaged()) }
    }

    /// The key's file as it is: useless without the master key.
    ///
    /// Errors: the disk's.
    pub fn sealed_file(&self, key: &DayKey) -> Result<Vec<u8>, KeyError> {
        let path = self.path(&key.name(), ".key");
        fs::read(&path).map_err(|source| disk("read", &path, source))
    }

    /// The key in a file that another node of the same master key made.
    ///
    /// Errors: it is none of ours.
    pub fn open_sealed_file(&self, file: &[u8]) -> Result<(Date, Identity), KeyError> {
        let parsed = KeyFile::read(file, || "a key from elsewhere".into())?.ok_or(SealError::Form)?;
        let recipient: Recipient = parsed.recipient.parse()?;
        let sealed = unhex(&parsed.sealed).ok_or(SealError::Form)?;
        let opened = self.master.open(&context(&name(parsed.day, &recipient)), &sealed);
        Ok((parsed.day, Identity::from_bytes(opened.ok_or(SealError::OtherKey)?)))
    }

    /// Keeps every key of a day at least until then. Never shortens.
    ///
    /// Errors: the disk's.
    pub fn keep_until(&self, day: Date, until: WallTime) -> Result<(), KeyError> {
        let _lock = self.lock()?;
        for key in self.of(day)? {
            self.raise(key, until)?;
        }
        Ok(())
    }

    /// Keeps a key at least until then. Never shortens.
    ///
    /// Errors: the disk's.
    pub fn keep(&self, key: DayKey, until: WallTime) -> Result<DayKey, KeyError> {
        let _lock = self.lock()?;
        self.raise(key, until)
    }

    /// Keys that no recording needs at `now`.
    ///
    /// Errors: the disk's.
    pub fn due(&self, now: WallTime) -> Result<Vec<DayKey>, KeyError> {
        Ok(self.list()?.into_iter().filter(|key| key.needed_until <= now).collect())
    }

    /// Ends a key: overwritten and synced before this returns, so that nothing sealed for it can
    /// be opened from here. Its name stays among [`DayKeys::destroyed`] until its copies are gone.
    /// `unless_needed_at`: leaves it alone where it was raised past this meanwhile.
    ///
    /// Errors: the disk's; it may still be there.
    pub fn destroy(&self, key: &DayKey, unless_needed_at: Option<WallTime>) -> Result<bool, KeyError> {
        let _lock = self.lock()?;
        let path = self.path(&key.name(), ".key");
        if unless_needed_at.is_some_and(|now| self.until(&key.name(), key.day) > now) {
            return Ok(false);
        }
        let ended = (|| {
            let mut file = OpenOptions::new().write(true).open(&path)?;
            let length = file.metadata()?.len() as usize;
            file.write_all(&vec![b'\n'; length])?;
            file.sync_all()?;
            fs::rename(&path, self.path(&key.name(), ".destroyed"))?;
            self.sync()
        })();
        match ended {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk("destroy", &path, error)),
        }
    }

    /// Names of destroyed keys whose copies elsewhere may be left.
    ///
    /// Errors: the disk's.
    pub fn destroyed(&self) -> Result<Vec<String>, KeyError> {
        let files = self.files(".destroyed")?;
        Ok(files.iter().filter_map(|file| file.strip_suffix(".destroyed").map(str::to_owned)).collect())
    }

    /// The copies of a destroyed key are gone as well.
    ///
    /// Errors: the disk's.
    pub fn forget(&self, name: &str) -> Result<(), KeyError> {
        let _lock = self.lock()?;
        for end in [".until", ".destroyed"] {
            let path = self.path(name, end);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(disk("remove", &path, error));
                }
                _ => {}
            }
        }
        self.sync().map_err(|source| disk("sync", &self.dir, source))
    }

    fn add(
        &self,
        day: Date,
        identity: Identity,
        made_at: WallTime,
        needed_until: WallTime,
    ) -> Result<DayKey, KeyError> {
        let key = DayKey { day, recipient: identity.recipient()?, made_at, needed_until };
        let sealed =
            self.master.seal(&context(&key.name()), identity.bytes()).map_err(|_| SealError::Crypto)?;
        let file = KeyFile {
            version: VERSION,
            day,
            recipient: key.recipient.to_string(),
            made_at,
            sealed: hex(&sealed),
        };
        self.write(&key.name(), ".until", needed_until.to_string().as_bytes())?;
        let bytes = serde_json::to_vec(&file).map_err(|_| SealError::Form)?;
        // A key whose name a power cut may take must not seal, now or at the next call.
        let written = self.write(&key.name(), ".key", &bytes);
        written.inspect_err(|_| drop(fs::remove_file(self.path(&key.name(), ".key"))))?;
        Ok(key)
    }

    fn raise(&self, mut key: DayKey, until: WallTime) -> Result<DayKey, KeyError> {
        if key.needed_until < until {
            self.write(&key.name(), ".until", until.to_string().as_bytes())?;
            key.needed_until = until;
        }
        Ok(key)
    }

    /// Durable when it returns.
    fn write(&self, name: &str, end: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let path = self.path(name, end);
        replace(&path, bytes).map_err(|source| disk("write", &path, source))
    }

    /// What a file says, and the sealed identity in it; `None` where it was ended meanwhile.
    fn read(&self, path: &Path) -> Result<Option<(DayKey, Vec<u8>)>, KeyError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => Zeroizing::new(read.map_err(|source| disk("read", path, source))?),
        };
        if is_ended(&bytes) {
            return Ok(None);
        }
        let damaged = || KeyError::Damaged { path: path.to_owned() };
        let file = KeyFile::read(&bytes, || path.display().to_string())?.ok_or_else(damaged)?;
        let recipient: Recipient = file.recipient.parse().map_err(|_| damaged())?;
        let needed_until = self.until(&name(file.day, &recipient), file.day);
        let key = DayKey { day: file.day, recipient, made_at: file.made_at, needed_until };
        Ok(Some((key, unhex(&file.sealed).ok_or_else(damaged)?)))
    }

    /// A crash between overwriting and renaming leaves an ended key under its old name.
    fn finish_destroying(&self) -> Result<(), KeyError> {
        let _lock = self.lock()?;
        for file in self.files(".key")? {
            let path = self.dir.join(&file);
            let renamed = fs::read(&path).and_then(|bytes| match is_ended(&bytes) {
                true => fs::rename(&path, path.with_extension("destroyed")).and_then(|()| self.sync()),
                false => Ok(()),
            });
            renamed.map_err(|source| disk("rename", &path, source))?;
        }
        Ok(())
    }

    /// Until when a key is needed; where that cannot be read, as long as anything may live.
    fn until(&self, name: &str, day: Date) -> WallTime {
        let text = fs::read_to_string(self.path(name, ".until")).ok();
        let read = text.and_then(|text| text.trim().parse().ok()).map(WallTime::from_timestamp);
        read.unwrap_or_else(|| end_of(day).plus_days(i64::from(RETENTION_DAYS)))
    }

    fn files(&self, end: &str) -> Result<Vec<String>, KeyError> {
        let read = || -> io::Result<Vec<String>> {
            let names = fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        let mut names = read().map_err(|source| disk("list", &self.dir, source))?;
        names.retain(|name| name.ends_with(end));
        Ok(names)
    }

    fn lock(&self) -> Result<File, KeyError> {
        let path = self.dir.join("lock");
        let locked = (|| {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        })();
        locked.map_err(|source| disk("lock", &path, source))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.dir.join(format!("{name}{end}"))
    }
}

fn context(name: &str) -> Vec<u8> {
    [b"optag day key ", name.as_bytes()].concat()
}

/// No key file that is whole, or half overwritten, begins like this one.
fn is_ended(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|&byte| byte == b'\n')
}

fn newest_own(keys: Vec<DayKey>) -> Option<DayKey> {
    keys.into_iter().rfind(DayKey::is_own)
}

fn disk(step: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::Disk { step, path: path.to_owned(), source }
}

fn now() -> WallTime {
    WallTime::from_timestamp(jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use optag_testing::process_memory::{assert_protected, copies, has_a_process_to_itself};

    fn keys(dir: &Path) -> DayKeys {
        DayKeys::open(dir, MasterKey::from_bytes(&[5; 32]).unwrap()).unwrap()
    }

    fn at(day: i64) -> WallTime {
        WallTime::default().plus_days(day)
    }

    #[test]
    fn a_day_has_one_key_that_survives_and_opens() {
        let dir = tempfile::tempdir().unwrap();
        let day = date(2026, 11, 24);
        let one = keys(dir.path()).recipient(day, at(5)).unwrap();
        let again = keys(dir.path());
        assert_eq!(again.recipient(day, at(4)).unwrap(), one);
        assert_eq!(again.identity(&one).unwrap().recipient().unwrap(), one.recipient);
        assert!(again.recipient(date(2026, 11, 25), at(5)).unwrap().recipient != one.recipient);
        let text = String::from_utf8(again.sealed_file(&one).unwrap()).unwrap();
        assert!(!text.contains(again.identity(&one).unwrap().reveal().as_str()));
    }

    #[test]
    fn the_identity_of_a_day_lies_in_locked_memory_alone_and_is_wiped() {
        if !has_a_process_to_itself(optag_testing::test_name!()) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let key = keys.recipient(date(2026, 11, 24), at(5)).unwrap();
        let identity = keys.identity(&key).unwrap();
        let place = identity.secret().as_ptr().addr();
        let looks = identity.bytes().map(|byte| !byte);
        assert_protected(place);
        assert_eq!(copies(&looks), [place]);
        drop(identity);
        assert_eq!(copies(&looks), [0_usize; 0], "the identity is still in memory");
    }

    #[test]
    fn a_key_is_due_when_the_last_recording_is_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let day = date(2026, 11, 24);
        keys.recipient(day, at(5)).unwrap();
        keys.recipient(day, at(9)).unwrap();
        assert!(keys.due(at(8)).unwrap().is_empty());
        let due = keys.due(at(9)).unwrap();
        keys.keep_until(day, at(20)).unwrap();
        assert!(!keys.destroy(&due[0], Some(at(9))).unwrap(), "it was kept meanwhile");
        assert!(keys.destroy(&due[0], Some(at(20))).unwrap());
        assert!(keys.list().unwrap().is_empty() && keys.identity(&due[0]).is_err());
    }

    #[test]
    fn a_destroyed_key_is_overwritten_and_its_name_waits_for_its_copies() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let key = keys.recipient(date(2026, 11, 24), at(5)).unwrap();
        assert!(keys.destroy(&key, None).unwrap());
        assert_eq!(keys.destroyed().unwrap(), [key.name()]);
        let left = fs::read(dir.path().join(format!("{}.destroyed", key.name()))).unwrap();
        assert!(left.iter().all(|&byte| byte == b'\n'));
        assert!(!keys.destroy(&key, None).unwrap());
        // As a crash before the renaming leaves it.
        let old = dir.path().join(format!("{}.key", key.name()));
        fs::rename(dir.path().join(format!("{}.destroyed", key.name())), &old).unwrap();
        assert!(keys.list().unwrap().is_empty());
        let keys = self::keys(dir.path());
        assert_eq!(keys.destroyed().unwrap(), [key.name()]);
        keys.forget(&key.name()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn rotation_seals_for_the_new_key_and_opens_with_both() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(dir.path());
        let day = date(2026, 11, 24);
        let old = keys.recipient(day, at(5)).unwrap();
        let new = keys.rotate(day, at(5)).unwrap();
        assert_eq!(keys.recipient(day, at(5)).unwrap().recipient, new.recipient);
        assert!(keys.identity(&old).is_ok() && keys.identity(&new).is_ok());
    }

    #[test]
    fn another_master_key_is_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        keys(dir.path()).recipient(date(2026, 11, 24), at(5)).unwrap();
        let other = DayKeys::open(dir.path(), MasterKey::from_bytes(&[6; 32]).unwrap());
        assert!(matches!(other, Err(KeyError::WrongMasterKey { .. })));
    }

    #[test]
    fn a_key_from_another_node_of_the_same_master_opens_and_is_not_sealed_for() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (here, there) = (keys(here.path()), keys(there.path()));
        let day = date(2026, 11, 24);
        let (own, theirs) = (here.recipient(day, at(5)).unwrap(), there.recipient(day, at(5)).unwrap());
        let (read_day, identity) = here.open_sealed_file(&there.sealed_file(&theirs).unwrap()).unwrap();
        assert_eq!(read_day, day);
        here.bring_in(day, identity, at(7)).unwrap();
        assert!(here.identity(&theirs).is_ok());
        // Of a day on which this node has sealed nothing yet, another's key is not the day's own either.
        let first = date(2026, 11, 25);
        let theirs = there.recipient(first, at(5)).unwrap();
        let (_, identity) = here.open_sealed_file(&there.sealed_file(&theirs).unwrap()).unwrap();
        let brought = here.bring_in(first, identity, at(7)).unwrap();
        assert!(!brought.is_own() && here.identity(&theirs).is_ok());
        let drawn = here.recipient(first, at(5)).unwrap();
        assert!(drawn.is_own() && drawn.recipient != theirs.recipient);
        assert_eq!(here.recipient(first, at(6)).unwrap().recipient, drawn.recipient);
        assert_eq!(here.recipient(day, at(5)).unwrap().recipient, own.recipient);
    }

    #[test]
    fn a_key_that_a_newer_program_wrote_is_named_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let key = keys(dir.path()).recipient(date(2026, 11, 24), at(5)).unwrap();
        let path = dir.path().join(format!("{}.key", key.name()));
        let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        file["version"] = 2.into();
        // Of a newer form nothing but its number is known.
        file.as_object_mut().unwrap().remove("sealed");
        let newer = file.to_string();
        fs::write(&path, &newer).unwrap();
        let opened = DayKeys::open(dir.path(), MasterKey::from_bytes(&[5; 32]).unwrap());
        let error = opened.err().unwrap();
        assert!(matches!(error, KeyError::Newer { version: 2, .. }), "{error}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
        let elsewhere = tempfile::tempdir().unwrap();
        let brought = keys(elsewhere.path()).open_sealed_file(newer.as_bytes());
        assert!(matches!(brought, Err(KeyError::Newer { version: 2, .. })));
    }

    #[test]
    fn invariant_05_a_day_key_is_made_or_ended_only_durably() {
        // The directory has a name; a key is two files with theirs; then it is overwritten, and given another.
        let faults: [&[&str]; 7] = [
            &["fsync:error=EIO:when=1"],
            &["fsync:error=EIO:when=2"],
            &["fsync:error=EIO:when=3"],
            &["fsync:error=EIO:when=4"],
            &["fsync:error=EIO:when=5"],
            &["fsync:error=EIO:when=6"],
            &["fsync:error=EIO:when=7"],
        ];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |fault| {
            let dir = tempfile::tempdir().unwrap();
            let day = date(2026, 11, 24);
            let open = || DayKeys::open(dir.path(), MasterKey::from_bytes(&[5; 32]).unwrap());
            if fault.ends_with("when=1") {
                assert!(open().is_err(), "a key in a directory without a name must not seal");
            }
            let keys = open().unwrap();
            let made = keys.recipient(day, at(5));
            let makes = ["when=2", "when=3", "when=4", "when=5"].iter().any(|when| fault.ends_with(when));
            assert_eq!(made.is_err(), makes, "who seals must know");
            assert_eq!(keys.list().unwrap().is_empty(), makes, "and nobody finds it later");
            let key = keys.recipient(day, at(5)).unwrap();
            if makes || fault.ends_with("when=1") {
                return;
            }
            assert!(keys.destroy(&key, None).is_err(), "who promised its end must know");
            keys.destroy(&key, None).unwrap();
            let again = DayKeys::open(dir.path(), MasterKey::from_bytes(&[5; 32]).unwrap()).unwrap();
            assert!(again.identity(&key).is_err(), "it opens nothing");
            assert_eq!(again.destroyed().unwrap(), [key.name()]);
        });
    }
}
