//! Who may do what: roles with their permissions, the departments that bound them, and the access tokens by which
//! machines show who they are. In: a token. Out: an [`Actor`]. Not here: requests and their answers (`http`).

mod actor;
mod role;
pub mod sign_ins;
#[cfg(test)]
mod test_site;
mod token;
mod token_files;
pub mod tokens;

pub use crate::index::Departments;
pub use actor::Actor;
pub use role::{BadRoles, Permission, Role, Roles};
