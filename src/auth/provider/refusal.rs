//! Why nobody is signed in by the provider.

use super::claims::NoRights;
use super::known::Away;
use crate::index::IndexError;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum NotByProvider {
    /// The answer belongs to no attempt of this browser, or it is over or was used.
    #[error("the answer belongs to no attempt, or comes a second time")]
    Stale,
    /// The provider sent the person back without signing them in.
    #[error("the provider answers {0}")]
    Declined(String),
    /// The provider does not answer.
    #[error(transparent)]
    Away(#[from] Away),
    /// What it says cannot be taken.
    #[error("{0}")]
    Invalid(String),
    /// The claims give nothing here.
    #[error("{why}")]
    NoRights {
        /// The user's name, or the one that the user would have.
        name: String,
        /// Why.
        why: NoRights,
    },
    /// An administrator has disabled the user.
    #[error("the user {0} is disabled")]
    Disabled(String),
    /// All that the claims give waits for a second administrator.
    #[error("the rights of {0} wait for a second administrator")]
    NoRole(String),
    /// No random numbers.
    #[error("no random numbers from the system")]
    NoRandom,
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
}
