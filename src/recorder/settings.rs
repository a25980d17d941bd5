//! What the recorder must know of the configuration.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use optag_core::call::Department;

/// Settings of admission, answers and resumption.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The departments whose calls are announced, recorded or not.
    pub departments: Departments,
    /// Address that feeds are told to send to.
    pub advertised_ip: IpAddr,
    /// Streams that one client of the API may have at a time. One call of the most streams fits in any case.
    pub client_streams: usize,
    /// Whether new calls may be spilled near the engine's limit.
    pub spills: bool,
    /// Longest downtime after which a call that was in progress is resumed.
    pub resume_within: Duration,
}

/// The departments, which may change at run time: a call keeps those that there were when it was admitted. Clones
/// share them.
#[derive(Clone, Debug)]
pub struct Departments(Arc<RwLock<Arc<[Department]>>>);

impl Departments {
    /// These departments, for now.
    pub fn new(all: Vec<Department>) -> Self {
        Self(Arc::new(RwLock::new(all.into())))
    }

    /// Those of now.
    pub fn now(&self) -> Arc<[Department]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them for calls that are admitted from now on.
    pub fn replace(&self, all: Vec<Department>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all.into();
    }
}

/// The department with this id.
pub fn department<'a>(all: &'a [Department], id: &str) -> Option<&'a Department> {
    all.iter().find(|department| department.id == id)
}
