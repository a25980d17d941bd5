//! Consent answers received before their call: an IVR asks first, and the recording session starts afterwards. In: answers
//! by a name of the call. Out: the answer for each call of that name. Kept for a limited time and up to a limited number,
//! in a file that survives the process.
//!
//! A yes applies to one call. A no applies to every call with its identifier that starts while it is pending:
//! if one call has two sessions, neither may be recorded.
//!
//! The file holds one JSON object per line: an answer with keyed hashes of its identifiers, or a note that an
//! answer was used. Acknowledged lines are synced. After a failed write the file is rewritten.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::index::Pseudonyms;
use optag_core::call::{Answer, GivenAnswer};
use optag_core::clock::WallTime;
use optag_files::atomic_file::replace;

/// Maximum number of pending answers. Beyond it, a new one is refused.
const WAITING: usize = 10_000;
/// Number of obsolete lines after which the file is rewritten.
const SPARE_LINES: usize = 1_000;

/// Why an answer is not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The limit is reached.
    #[error("too many pending answers")]
    TooMany,
    /// It could not be made durable.
    #[error("cannot save the answer: {0}")]
    Disk(#[from] io::Error),
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Kept { id: u64, names: Vec<String>, until: WallTime, answer: GivenAnswer },
    Given { given: u64 },
}

#[derive(Clone, Debug)]
struct Waiting {
    names: Vec<String>,
    until: WallTime,
    answer: GivenAnswer,
}

/// The pending answers; clones share them.
#[derive(Clone)]
pub struct PendingAnswers(Arc<Inner>);

struct Inner {
    kept_for: Duration,
    hashes: Pseudonyms,
    file: PathBuf,
    /// Held while the file is written; the answers' lock is taken within it, never around it.
    journal: Mutex<Journal>,
    all: Mutex<HashMap<u64, Waiting>>,
}

#[derive(Default)]
struct Journal {
    /// `None`: it must be rewritten.
    open: Option<File>,
    lines: usize,
    next_id: u64,
}

impl PendingAnswers {
    /// Keeps answers for this long, including those of an earlier process in `file`.
    ///
    /// Errors: the file cannot be read or written.
    pub fn open(file: PathBuf, kept_for: Duration, hashes: Pseudonyms, now: WallTime) -> io::Result<Self> {
        let bytes = match std::fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let inner = Inner { kept_for, hashes, file, journal: Mutex::default(), all: Mutex::default() };
        // An incomplete line was never acknowledged: a crash truncated it.
        for line in bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            inner.take_line(line);
        }
        lock(&inner.all).retain(|_, waiting| waiting.until > now);
        let next_id = lock(&inner.all).keys().max().map_or(0, |id| id + 1);
        {
            let mut journal = lock(&inner.journal);
            journal.next_id = next_id;
            inner.rewrite(&mut journal)?;
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Stores an answer for calls with this identifier; a later one replaces it. Durable on return. Blocks.
    ///
    /// Errors: the limit is reached, or of the disk.
    pub fn keep(&self, now: WallTime, name: &str, answer: GivenAnswer) -> Result<(), NotKept> {
        let inner = &*self.0;
        let mut journal = lock(&inner.journal);
        lock(&inner.all).retain(|_, waiting| waiting.until > now);
        let names = inner.hashes.all_names(name);
        let replaces = lock(&inner.all).values().any(|waiting| shares(&waiting.names, &names));
        if !replaces && lock(&inner.all).len() >= WAITING {
            return Err(NotKept::TooMany);
        }
        let id = journal.next_id;
        journal.next_id += 1;
        let until = now.plus_micros(inner.kept_for.as_micros() as i64);
        let line = Line::Kept { id, names, until, answer };
        inner.append(&mut journal, &line)?;
        inner.take_line(line);
        Ok(())
    }

    /// The answer for a call with these identifiers, as given by
    /// [`name_keys`](optag_core::call::context::name_keys): a no before a yes. The use of a yes is durable on
    /// return. Blocks.
    ///
    /// Errors: of the disk; the yes is then not given.
    pub fn take(&self, now: WallTime, names: &[String]) -> io::Result<Option<GivenAnswer>> {
        let inner = &*self.0;
        let names: Vec<String> = names.iter().flat_map(|name| inner.hashes.all_names(name)).collect();
        let found = |all: &HashMap<u64, Waiting>| {
            let ours = all.iter().filter(|(_, one)| one.until > now && shares(&one.names, &names));
            let best = ours.min_by_key(|(id, one)| (one.answer.answer == Answer::Yes, **id));
            best.map(|(id, one)| (*id, one.answer.clone()))
        };
        // Most calls have none, and need not wait for the file.
        if found(&lock(&inner.all)).is_none() {
            return Ok(None);
        }
        let mut journal = lock(&inner.journal);
        let Some((id, answer)) = found(&lock(&inner.all)) else { return Ok(None) };
        if answer.answer == Answer::Yes {
            let line = Line::Given { given: id };
            inner.append(&mut journal, &line)?;
            inner.take_line(line);
        }
        Ok(Some(answer))
    }
}

impl Inner {
    fn take_line(&self, line: Line) {
        let mut all = lock(&self.all);
        match line {
            Line::Given { given } => drop(all.remove(&given)),
            Line::Kept { id, names, until, answer } => {
                all.retain(|_, other| !shares(&other.names, &names));
                all.insert(id, Waiting { names, until, answer });
            }
        }
    }

    fn append(&self, journal: &mut Journal, line: &Line) -> io::Result<()> {
        if journal.open.is_none() || journal.lines > 2 * lock(&self.all).len() + SPARE_LINES {
            self.rewrite(journal)?;
        }
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let Some(file) = &mut journal.open else { return Err(io::ErrorKind::NotFound.into()) };
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        journal.lines += 1;
        if written.is_err() {
            // Neither the result of a failed write nor a later sync of this descriptor is reliable; and a
            // refused answer must not count after a crash.
            journal.open = None;
            if let Err(error) = self.rewrite(journal) {
                tracing::warn!(%error, "cannot rewrite the file of pending answers; retrying with the next answer");
            }
        }
        written
    }

    /// Rewrites the file with valid lines only.
    fn rewrite(&self, journal: &mut Journal) -> io::Result<()> {
        journal.open = None;
        let mut bytes = Vec::new();
        let all = lock(&self.all).clone();
        for (id, Waiting { names, until, answer }) in &all {
            let (names, answer) = (names.clone(), answer.clone());
            serde_json::to_writer(&mut bytes, &Line::Kept { id: *id, names, until: *until, answer })?;
            bytes.push(b'\n');
        }
        replace(&self.file, &bytes)?;
        let options = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(&self.file);
        journal.open = Some(options?);
        journal.lines = all.len();
        Ok(())
    }
}

fn shares(some: &[String], others: &[String]) -> bool {
    some.iter().any(|name| others.contains(name))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use optag_core::call::{ConsentHow, Evidence};

    fn at(seconds: i64) -> WallTime {
        WallTime::from_unix_micros(seconds * 1_000_000)
    }

    fn open(dir: &std::path::Path, now: i64) -> PendingAnswers {
        let hashes = Pseudonyms::new(&[9; 32], "45");
        PendingAnswers::open(dir.join("early"), Duration::from_secs(10), hashes, at(now)).unwrap()
    }

    fn answer(answer: Answer) -> GivenAnswer {
        let evidence = Evidence::Actor { name: "ivr".into(), staff: None };
        GivenAnswer { answer, how: ConsentHow::System, prompt_version: None, evidence }
    }

    fn given(early: &PendingAnswers, now: i64, name: &str) -> Option<Answer> {
        early.take(at(now), &[name.to_owned()]).unwrap().map(|given| given.answer)
    }

    #[test]
    fn a_yes_is_given_once_and_in_time_and_a_no_to_every_call_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let early = open(dir.path(), 0);
        for (name, word) in [("yes", Answer::Yes), ("late", Answer::Yes), ("no", Answer::No)] {
            early.keep(at(0), name, answer(word)).unwrap();
        }
        assert_eq!(early.take(at(9), &["x".into(), "yes".into()]).unwrap(), Some(answer(Answer::Yes)));
        assert_eq!(given(&early, 9, "yes"), None, "once");
        assert_eq!(given(&early, 11, "late"), None, "too late");
        assert_eq!(given(&early, 8, "no"), Some(Answer::No));
        assert_eq!(given(&early, 9, "no"), Some(Answer::No), "of another session too");
        assert_eq!(given(&early, 11, "no"), None);
    }

    #[test]
    fn a_no_goes_before_a_yes_and_a_later_answer_replaces_an_earlier() {
        let dir = tempfile::tempdir().unwrap();
        let early = open(dir.path(), 0);
        early.keep(at(0), "a", answer(Answer::Yes)).unwrap();
        early.keep(at(1), "b", answer(Answer::No)).unwrap();
        let both = ["a".to_owned(), "b".to_owned()];
        assert_eq!(early.take(at(2), &both).unwrap(), Some(answer(Answer::No)));
        early.keep(at(3), "b", answer(Answer::Yes)).unwrap();
        assert_eq!(given(&early, 4, "b"), Some(Answer::Yes));
        // Two halves of one identifier are one answer.
        early.keep(at(5), "aa11;remote=bb22", answer(Answer::Yes)).unwrap();
        assert_eq!(given(&early, 6, "bb22"), Some(Answer::Yes));
        assert_eq!(given(&early, 6, "aa11"), None);
    }

    #[test]
    fn what_was_acknowledged_is_found_by_the_next_process_whatever_a_crash_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let early = open(dir.path(), 0);
        early.keep(at(0), "no", answer(Answer::No)).unwrap();
        early.keep(at(0), "given", answer(Answer::Yes)).unwrap();
        early.keep(at(5), "yes", answer(Answer::Yes)).unwrap();
        assert_eq!(given(&early, 5, "given"), Some(Answer::Yes));
        let whole = std::fs::read(dir.path().join("early")).unwrap();
        assert!(!String::from_utf8_lossy(&whole).contains("\"yes\":"));
        for torn in [&b""[..], b"{\"id\":7,\"names\":[\"x\"", b"\n\n{}\n"] {
            std::fs::write(dir.path().join("early"), [&whole, torn].concat()).unwrap();
            let next = open(dir.path(), 6);
            assert_eq!(given(&next, 6, "no"), Some(Answer::No));
            assert_eq!(given(&next, 6, "given"), None, "a yes is for one call, across a crash too");
            next.keep(at(6), "new", answer(Answer::No)).unwrap();
            assert_eq!(given(&open(dir.path(), 7), 7, "new"), Some(Answer::No));
        }
        assert_eq!(given(&open(dir.path(), 11), 11, "yes"), Some(Answer::Yes));
        assert_eq!(given(&open(dir.path(), 11), 11, "no"), None, "its time is up");
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_refused_and_the_next_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let early = open(dir.path(), 0);
        early.keep(at(0), "before", answer(Answer::Yes)).unwrap();
        // Like a failing disk: the descriptor accepts nothing more, and no new file can be created.
        lock(&early.0.journal).open = Some(File::open("/dev/null").unwrap());
        std::fs::create_dir(dir.path().join("early.new")).unwrap();
        assert!(matches!(early.keep(at(1), "a", answer(Answer::No)), Err(NotKept::Disk(_))));
        assert_eq!(given(&early, 1, "a"), None);
        assert!(early.keep(at(1), "a", answer(Answer::No)).is_err());
        assert!(early.take(at(1), &["before".into()]).is_err(), "a yes that may be given again is not given");
        std::fs::remove_dir(dir.path().join("early.new")).unwrap();
        early.keep(at(1), "a", answer(Answer::No)).unwrap();
        let next = open(dir.path(), 2);
        assert_eq!((given(&next, 2, "a"), given(&next, 2, "before")), (Some(Answer::No), Some(Answer::Yes)));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let early = open(dir.path(), 0);
        let waiting =
            |n: usize| Waiting { names: vec![n.to_string()], until: at(10), answer: answer(Answer::No) };
        *lock(&early.0.all) = (0..WAITING).map(|n| (n as u64 + 100_000, waiting(n))).collect();
        assert!(matches!(early.keep(at(1), "one more", answer(Answer::No)), Err(NotKept::TooMany)));
        early.keep(at(20), "one more", answer(Answer::No)).unwrap();
        for n in 0..2_100 {
            early.keep(at(20), &format!("n{}", n % 3), answer(Answer::Yes)).unwrap();
        }
        let lines = std::fs::read_to_string(dir.path().join("early")).unwrap().lines().count();
        assert!(lines < 1_100, "{lines}");
    }

    #[test]
    fn invariant_05_an_early_answer_that_is_not_durable_is_refused_and_does_not_count() {
        let faults: [&[&str]; 1] = [&["fdatasync:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            let early = open(dir.path(), 0);
            early.keep(at(0), "first", answer(Answer::Yes)).unwrap();
            assert!(early.keep(at(0), "second", answer(Answer::Yes)).is_err());
            drop(early);
            let early = open(dir.path(), 1);
            assert_eq!(given(&early, 1, "second"), None, "it was refused");
            assert_eq!(given(&early, 1, "first"), Some(Answer::Yes));
        });
    }
}
