//! The end of a page of recordings, as used in the next request: `<µs since 1970>.<id>`.

use std::fmt;
use std::str::FromStr;

use optag_core::clock::WallTime;
use optag_core::id::CallId;

/// A position in the list of recordings, newest first: the next page begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the call was admitted.
    pub started_at: WallTime,
    /// The call's id.
    pub id: CallId,
}

/// The text is not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a list")]
pub struct BadPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.started_at.as_unix_micros(), self.id)
    }
}

impl FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (at, id) = text.split_once('.').ok_or(BadPosition)?;
        let at: i64 = at.parse().map_err(|_| BadPosition)?;
        // Outside the calendar.
        jiff::Timestamp::from_microsecond(at).map_err(|_| BadPosition)?;
        let id = id.parse().map_err(|_| BadPosition)?;
        Ok(Self { started_at: WallTime::from_unix_micros(at), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written_and_nothing_else_is_one() {
        let at = WallTime::from_unix_micros(1_700_000_000_000_001);
        let position = Position { started_at: at, id: CallId::new_at(at) };
        assert_eq!(position.to_string().parse(), Ok(position));
        let id = position.id;
        for text in ["", ".", "1.", "1.2", &format!("x.{id}"), &format!("9223372036854775807.{id}")] {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
    }
}
