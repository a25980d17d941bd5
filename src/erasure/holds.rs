//! Legal holds: recordings that must not expire yet, for a court or an authority. Disabled unless the configuration allows
//! them. In: orders to hold and to release. Out: what is held.
//!
//! A hold suspends expiry and blocks an erasure request, which is answered with the reason; it never blocks a withdrawal of
//! consent, and never restores what is erased. It can exceed the recording's retention limit only on a lawful basis named
//! by the configuration.
//!
//! Kept in one small file, rewritten at each change.

use std::collections::BTreeMap;
use std::fs::{self};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_files::atomic_file::replace_json;

/// Maximum number of holds.
const HOLDS_MOST: usize = 10_000;

/// A legal hold on a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The recording.
    pub id: CallId,
    /// End of the hold.
    pub until: WallTime,
    /// Reason given by the owner.
    pub reason: String,
    /// Lawful basis; required if the hold exceeds the recording's retention limit.
    pub lawful_basis: Option<String>,
    /// Who placed the hold.
    pub by: String,
    /// When the hold was placed.
    pub at: WallTime,
}

/// Holds allowed by the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldPolicy {
    /// Whether holds are enabled.
    pub allowed: bool,
    /// Lawful bases on which a hold may exceed the retention limit.
    pub lawful_bases: Vec<String>,
    /// Whether something else deletes the object at its limit anyway (the bucket's expiry rule): a longer hold could
    /// not be kept.
    pub ends_anyway: bool,
}

/// Why a hold was not placed.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Holds are disabled.
    #[error("legal holds are disabled; enable them with `[retention] legal_hold`")]
    Off,
    /// The recording is erased, or its erasure is ordered.
    #[error("the recording was erased or has expired")]
    Erased,
    /// The hold exceeds the limit without a lawful basis.
    #[error("a hold past {limit} needs `lawful_basis`, one of `[retention] hold_lawful_bases`: {known}")]
    NoBasis {
        /// The recording's limit.
        limit: WallTime,
        /// Lawful bases in the configuration.
        known: String,
    },
    /// The bucket's own rule would delete the recording first.
    #[error(
        "a hold past {limit} cannot be kept: the bucket's expiry rule ends the object; copy the recording \
         out (`optag export`) or set `[store] manage_lifecycle = false`"
    )]
    EndsAnyway {
        /// The recording's limit.
        limit: WallTime,
    },
    /// The hold ends in the past.
    #[error("the hold ends in the past")]
    Over,
    /// Too many holds.
    #[error("limit of {HOLDS_MOST} holds reached")]
    Full,
    /// The holds file could not be written durably.
    #[error("holds file: {0}")]
    Io(#[from] io::Error),
}

/// All holds, in memory and on disk.
#[derive(Debug, Default)]
pub struct Holds {
    path: PathBuf,
    policy: HoldPolicy,
    held: Mutex<BTreeMap<CallId, Hold>>,
}

impl Holds {
    /// Opens the file; a missing file means no holds.
    ///
    /// Errors: the file cannot be read. Nothing may expire until it can.
    pub fn open(path: &Path, policy: HoldPolicy) -> io::Result<Self> {
        let held: Vec<Hold> = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let held = held.into_iter().map(|hold| (hold.id, hold)).collect();
        Ok(Self { path: path.to_owned(), policy, held: Mutex::new(held) })
    }

    /// Places a hold, or changes the existing one; blocking. `limit` is when the recording would expire. `is_erased`
    /// is called while no erasure can be ordered.
    ///
    /// Errors: see [`HoldError`]; nothing changed.
    pub fn place(&self, hold: Hold, limit: WallTime, is_erased: impl Fn() -> bool) -> Result<(), HoldError> {
        if !self.policy.allowed {
            return Err(HoldError::Off);
        }
        if hold.until <= hold.at {
            return Err(HoldError::Over);
        }
        if hold.until > limit {
            let known = &self.policy.lawful_bases;
            if !hold.lawful_basis.as_ref().is_some_and(|basis| known.contains(basis)) {
                let known = if known.is_empty() { "none configured".into() } else { known.join(", ") };
                return Err(HoldError::NoBasis { limit, known });
            }
            if self.policy.ends_anyway {
                return Err(HoldError::EndsAnyway { limit });
            }
        }
        let mut held = self.held();
        if is_erased() {
            return Err(HoldError::Erased);
        }
        if held.len() >= HOLDS_MOST && !held.contains_key(&hold.id) {
            return Err(HoldError::Full);
        }
        let mut changed = held.clone();
        changed.insert(hold.id, hold);
        self.keep(&changed)?;
        *held = changed;
        Ok(())
    }

    /// Releases a hold; returns whether there was one; blocking.
    ///
    /// Errors: not durable.
    pub fn release(&self, id: CallId) -> Result<bool, HoldError> {
        let mut held = self.held();
        let mut changed = held.clone();
        let was_held = changed.remove(&id).is_some();
        if was_held {
            self.keep(&changed)?;
            *held = changed;
        }
        Ok(was_held)
    }

    /// The hold in force at `now`, if any.
    pub fn standing(&self, id: CallId, now: WallTime) -> Option<Hold> {
        self.held().get(&id).filter(|hold| hold.until > now).cloned()
    }

    /// Runs `work` unless the recording is held at `now`; no hold can be placed meanwhile.
    ///
    /// Errors: the hold in force.
    pub fn unless_held<T>(
        &self,
        id: CallId,
        now: WallTime,
        work: impl FnOnce() -> T,
    ) -> Result<T, Box<Hold>> {
        let held = self.held();
        match held.get(&id).filter(|hold| hold.until > now) {
            Some(hold) => Err(Box::new(hold.clone())),
            None => Ok(work()),
        }
    }

    /// All holds, expired ones included.
    pub fn all(&self) -> Vec<Hold> {
        self.held().values().cloned().collect()
    }

    fn keep(&self, held: &BTreeMap<CallId, Hold>) -> io::Result<()> {
        replace_json(&self.path, &held.values().collect::<Vec<_>>())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<CallId, Hold>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> WallTime {
        WallTime::from_unix_micros(1_700_000_000_000_000).plus_days(day)
    }

    fn hold(until: i64, basis: Option<&str>) -> Hold {
        Hold {
            id: CallId::new_at(at(0)),
            until: at(until),
            reason: "case 17/2026".into(),
            lawful_basis: basis.map(str::to_owned),
            by: "ada".into(),
            at: at(1),
        }
    }

    fn holds(dir: &Path, policy: HoldPolicy) -> Holds {
        Holds::open(&dir.join("holds.json"), policy).unwrap()
    }

    fn allowed() -> HoldPolicy {
        HoldPolicy { allowed: true, lawful_bases: vec!["GDPR 17(3)(e)".into()], ends_anyway: false }
    }

    #[test]
    fn nothing_is_held_where_holds_are_off_and_nothing_past_the_limit_without_a_basis() {
        let dir = tempfile::tempdir().unwrap();
        let off = holds(dir.path(), HoldPolicy::default());
        assert!(matches!(off.place(hold(5, None), at(90), || false), Err(HoldError::Off)));
        let on = holds(dir.path(), allowed());
        on.place(hold(90, None), at(90), || false).unwrap();
        for basis in [None, Some("because")] {
            let refused = on.place(hold(91, basis), at(90), || false);
            assert!(matches!(refused, Err(HoldError::NoBasis { .. })), "{refused:?}");
        }
        on.place(hold(91, Some("GDPR 17(3)(e)")), at(90), || false).unwrap();
        assert!(matches!(on.place(hold(1, None), at(90), || false), Err(HoldError::Over)));
        assert!(matches!(on.place(hold(5, None), at(90), || true), Err(HoldError::Erased)));
        let ends = holds(dir.path(), HoldPolicy { ends_anyway: true, ..allowed() });
        let refused = ends.place(hold(91, Some("GDPR 17(3)(e)")), at(90), || false);
        assert!(matches!(refused, Err(HoldError::EndsAnyway { .. })), "{refused:?}");
    }

    #[test]
    fn a_hold_survives_stops_what_it_must_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let one = hold(30, None);
        holds(dir.path(), allowed()).place(one.clone(), at(90), || false).unwrap();
        let again = holds(dir.path(), allowed());
        assert_eq!(again.standing(one.id, at(29)), Some(one.clone()));
        assert_eq!(*again.unless_held(one.id, at(29), || ()).unwrap_err(), one);
        assert!(again.unless_held(one.id, at(30), || ()).is_ok(), "its time is up");
        assert!(again.release(one.id).unwrap() && !again.release(one.id).unwrap());
        assert!(holds(dir.path(), allowed()).all().is_empty());
    }

    #[test]
    fn invariant_05_a_hold_that_is_not_durable_is_not_confirmed() {
        optag_testing::faults::holds_under(
            optag_testing::test_name!(),
            &[&["fsync:error=EIO:when=1"]],
            |_| {
                let dir = tempfile::tempdir().unwrap();
                let all = holds(dir.path(), allowed());
                let placed = || all.place(hold(5, None), at(90), || false);
                assert!(placed().is_err());
                assert!(all.all().is_empty() && holds(dir.path(), allowed()).all().is_empty());
                placed().unwrap();
                assert_eq!(holds(dir.path(), allowed()).all().len(), 1);
            },
        );
    }
}
