//! Who may do what: roles with their permissions, the departments that bound them, the access tokens by which machines show
//! who they are, and the users who sign in. In: a token, what a user typed, or what a provider says. Out: an [`Actor`]. Not here: requests and
//! their answers (`http`).

mod actor;
mod attempts;
pub mod enrolment;
pub mod four_eyes;
pub mod password_sign_in;
pub mod passwords;
pub mod provider;
mod role;
mod sealing;
pub mod second_factor;
pub mod settings;
pub mod sign_ins;
#[cfg(test)]
mod test_site;
mod token;
mod token_files;
pub mod tokens;
pub mod user;
pub mod users;

pub use crate::index::Departments;
pub use actor::Actor;
pub use role::{BadRoles, Permission, Role, Roles};
pub use sealing::{SealError, SealKey};
