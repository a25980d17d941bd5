//! What the recorder must know of the configuration.

use std::net::IpAddr;
use std::time::Duration;

use optag_core::call::Department;

/// Settings of admission, answers and resumption.
#[derive(Clone, Debug, PartialEq)]
pub struct RecorderSettings {
    /// The departments whose calls are announced, recorded or not.
    pub departments: Vec<Department>,
    /// Address that feeds are told to send to.
    pub advertised_ip: IpAddr,
    /// Streams that one client of the API may have at a time. One call of the most streams fits in any case.
    pub client_streams: usize,
    /// Whether new calls may be spilled near the engine's limit.
    pub spills: bool,
    /// Longest downtime after which a call that was in progress is resumed.
    pub resume_within: Duration,
}

impl RecorderSettings {
    /// The department with this id.
    pub fn department(&self, id: &str) -> Option<&Department> {
        self.departments.iter().find(|department| department.id == id)
    }
}
