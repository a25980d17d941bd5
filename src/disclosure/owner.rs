//! The controller's details on every cover sheet.

/// The controller of the recordings, in its own words. Empty fields are omitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Name and address of the controller.
    pub controller: String,
    /// Contact for questions, withdrawals and erasure requests.
    pub contact: String,
    /// The data protection officer.
    pub data_protection_officer: String,
    /// Recipients of recordings other than the controller's own staff.
    pub recipients: String,
    /// The supervisory authority.
    pub authority: String,
    /// Whether the sheet names the members of staff who listened; otherwise it lists time and purpose.
    pub name_staff: bool,
    /// Time zone of the sheet.
    pub time_zone: jiff::tz::TimeZone,
    /// Public address of this recorder's links, without a trailing slash; empty: none.
    pub public_url: String,
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            controller: String::new(),
            contact: String::new(),
            data_protection_officer: String::new(),
            recipients: String::new(),
            authority: String::new(),
            name_staff: false,
            time_zone: jiff::tz::TimeZone::UTC,
            public_url: String::new(),
        }
    }
}
