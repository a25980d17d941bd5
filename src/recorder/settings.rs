//! What the recorder must know of the configuration.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use optag_core::call::Department;
use optag_sip::objections::Objections;

/// Settings of admission, answers and resumption.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The departments whose calls are announced, recorded or not.
    pub departments: Departments,
    /// Employees who object to being recorded.
    pub objections: Current<Objections>,
    /// Address that feeds are told to send to.
    pub advertised_ip: IpAddr,
    /// Streams that one client of the API may have at a time. One call of the most streams fits in any case.
    pub client_streams: usize,
    /// Whether new calls may be spilled near the engine's limit.
    pub spills: bool,
    /// Longest downtime after which a call that was in progress is resumed.
    pub resume_within: Duration,
}

/// The departments: a call keeps those that there were when it was admitted.
pub type Departments = Current<[Department]>;

/// A setting that may change at run time. Clones share it.
#[derive(Debug)]
pub struct Current<T: ?Sized>(Arc<RwLock<Arc<T>>>);

impl<T: ?Sized> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Current<T> {
    /// This value, for now.
    pub fn new(value: impl Into<Arc<T>>) -> Self {
        Self(Arc::new(RwLock::new(value.into())))
    }

    /// That of now.
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it, for whoever asks from now on.
    pub fn replace(&self, value: impl Into<Arc<T>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value.into();
    }
}

/// The department with this id.
pub fn department<'a>(all: &'a [Department], id: &str) -> Option<&'a Department> {
    all.iter().find(|department| department.id == id)
}
