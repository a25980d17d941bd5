//! What an owner says of itself on every cover sheet.

/// The controller of the recordings, in its own words. What is empty is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Name and address of the controller.
    pub controller: String,
    /// Where to ask, withdraw, have erased.
    pub contact: String,
    /// The data protection officer.
    pub data_protection_officer: String,
    /// Who receives recordings beside the controller's own staff.
    pub recipients: String,
    /// The supervisory authority.
    pub authority: String,
    /// Whether the sheet names the members of staff who listened; otherwise it tells when and why.
    pub name_staff: bool,
    /// Zone of the times on the sheet.
    pub time_zone: jiff::tz::TimeZone,
    /// Where citizens reach this recorder's links, without a slash at the end; empty: nowhere.
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
