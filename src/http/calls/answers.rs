//! What the API takes as an answer to the consent prompt, and what then shows it: one rule for
//! every way in, by the call's id and by a name.
//!
//! In: who asks, and what the body says. Out: the control with its evidence, or the fields that
//! are wrong. Not here: which calls it goes to, and what the consent rules make of it.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::access::{Actor, Role};
use crate::http::calls::body::Wrong;
use crate::http::problem::Problem;
use optag_core::call::{Answer, ConsentHow, Evidence};
use optag_core::limit;
use optag_sip::feed::Control;

/// By which way an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A key press that another system saw.
    Key,
    /// A PBX or IVR.
    System,
    /// A member of staff.
    Staff,
}

/// An answer as a body words it.
pub(in crate::http) struct Said {
    pub answer: Answer,
    pub how: How,
    pub prompt_version: Option<String>,
    pub staff: Option<String>,
}

impl Said {
    /// The control that gives the answer. What is wrong is added to `wrong`, which may hold more.
    ///
    /// Errors: every field that is wrong.
    pub fn check(self, actor: &Actor, wrong: &mut Wrong) -> Result<Control, Problem> {
        if let Some(version) = &self.prompt_version {
            wrong.text("prompt_version", version, limit::TEXT_CHARS);
        }
        let how = way(actor, Some(self.how));
        // A yes on somebody's word is worth nothing where nobody knows whose.
        let nameless = actor.role != Role::Agent && self.staff.is_none();
        if matches!((how, self.answer), (How::Staff, Answer::Yes)) && nameless {
            wrong.add("staff", "required with how = staff: who took the caller's word");
        }
        let evidence = evidence(actor, self.staff, wrong)?;
        Ok(Control::Answer {
            answer: self.answer,
            how: how.into(),
            prompt_version: self.prompt_version,
            evidence,
        })
    }
}

/// By which way the actor can know: an agent has the caller's word, whatever the body says, and
/// saw no key.
pub(in crate::http) fn way(actor: &Actor, how: Option<How>) -> How {
    match actor.role {
        Role::Agent => How::Staff,
        _ => how.unwrap_or(How::System),
    }
}

/// Who vouches: the token, and the member of staff where one is named.
///
/// Errors: every field that is wrong.
pub(in crate::http) fn evidence(
    actor: &Actor,
    staff: Option<String>,
    wrong: &mut Wrong,
) -> Result<Evidence, Problem> {
    if let Some(staff) = &staff {
        wrong.text("staff", staff, limit::TEXT_CHARS);
    }
    if !wrong.0.is_empty() {
        return Err(Problem::fields(std::mem::take(&mut wrong.0)));
    }
    Ok(Evidence::Actor { name: actor.name.clone(), staff })
}

impl From<How> for ConsentHow {
    fn from(how: How) -> Self {
        match how {
            How::Key => Self::Key,
            How::System => Self::System,
            How::Staff => Self::Staff,
        }
    }
}
