//! The states of a case and the steps that each allows. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// State of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The request is known; identity and recordings are being found out.
    Open,
    /// It is decided what is done, and that is under way or done.
    Decided,
    /// It is over, and holds no personal data.
    Closed,
}

impl State {
    /// Every state with its name.
    pub const ALL: [(&str, State); 3] =
        [("open", State::Open), ("decided", State::Decided), ("closed", State::Closed)];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Decided => "decided",
            State::Closed => "closed",
        }
    }

    /// The steps that it allows.
    pub const fn allows(self, step: Step) -> bool {
        use Step::*;
        match self {
            State::Open => matches!(step, Amend | Identify | Choose | Listen | Extend | Decide),
            State::Decided => matches!(step, Amend | Listen | Extend | CarryOut | HandOut | Close),
            State::Closed => false,
        }
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, state)| *state).ok_or(())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A step of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The request is taken down.
    Open,
    /// What the caller said is corrected or completed.
    Amend,
    /// How the caller's identity was checked.
    Identify,
    /// Which recordings are meant.
    Choose,
    /// A chosen recording is played, to make sure that it is meant.
    Listen,
    /// The time limit is extended.
    Extend,
    /// What is to be done.
    Decide,
    /// What was decided is done once more where it failed.
    CarryOut,
    /// A recording is handed out.
    HandOut,
    /// The case is over.
    Close,
}

impl Step {
    /// Its name, in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Step::Open => "open",
            Step::Amend => "amend",
            Step::Identify => "identify",
            Step::Choose => "choose",
            Step::Listen => "listen",
            Step::Extend => "extend",
            Step::Decide => "decide",
            Step::CarryOut => "carry_out",
            Step::HandOut => "hand_out",
            Step::Close => "close",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_goes_one_way_and_a_closed_one_goes_nowhere() {
        use Step::*;
        let all = [Open, Amend, Identify, Choose, Listen, Extend, Decide, CarryOut, HandOut, Close];
        let allowed = |state: State| -> Vec<&str> {
            all.into_iter().filter(|step| state.allows(*step)).map(Step::name).collect()
        };
        assert_eq!(allowed(State::Open), ["amend", "identify", "choose", "listen", "extend", "decide"]);
        assert_eq!(allowed(State::Decided), ["amend", "listen", "extend", "carry_out", "hand_out", "close"]);
        assert_eq!(allowed(State::Closed), Vec::<&str>::new());
        for (name, state) in State::ALL {
            assert_eq!((name.parse(), state.name()), (Ok(state), name));
        }
    }
}
