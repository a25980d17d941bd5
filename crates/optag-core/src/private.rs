//! Personal data that cannot accidentally reach a log line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Holds a number, name or address. `Debug` and `Display` show only its presence; reading requires an
/// explicit [`Private::reveal`]. Serialisation includes the value, for the records and responses that are
/// meant to contain it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, to store it or show it to an authorised person.
    pub const fn reveal(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹private›")
    }
}

impl<T> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹private›")
    }
}

impl<T> From<T> for Private<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_shows_the_value() {
        let number = Private::new("12345678".to_owned());
        assert!(!format!("{number} {number:?} {:?}", Some(&number)).contains("1234"));
        assert_eq!(serde_json::to_string(&number).unwrap(), "\"12345678\"");
    }
}
