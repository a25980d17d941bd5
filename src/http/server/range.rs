//! One byte range of a file. Source: RFC 9110 §14.

use std::ops::Range;

use crate::http::recordings::library::LibraryError;

/// Part of a file, before its length is known. Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=5-9`
    Between(u64, u64),
    /// `bytes=5-`
    From(u64),
    /// `bytes=-5`: the last bytes.
    Last(u64),
}

impl ByteRange {
    /// Parses a `Range` header. Anything other than a single byte range is ignored (`None`), as RFC 9110
    /// §14.2 permits: the complete file is then sent.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        let number = |text: &str| -> Option<u64> {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The part of a file of `total_bytes`, end excluded.
    ///
    /// Errors: [`LibraryError::OutOfRange`] if it contains no byte of the file.
    pub fn resolve(self, total_bytes: u64) -> Result<Range<u64>, LibraryError> {
        let part = match self {
            Self::Between(first, last) => first..last.saturating_add(1).min(total_bytes),
            Self::From(first) => first..total_bytes,
            Self::Last(count) => total_bytes.saturating_sub(count)..total_bytes,
        };
        match part.is_empty() {
            true => Err(LibraryError::OutOfRange { total_bytes }),
            false => Ok(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_clipped_as_the_rfc_says() {
        for (header, total, part) in [
            ("bytes=0-9", 100, Some(0..10)),
            ("bytes=90-200", 100, Some(90..100)),
            ("bytes=40-", 100, Some(40..100)),
            ("bytes=-30", 100, Some(70..100)),
            ("bytes=-300", 100, Some(0..100)),
            ("Bytes= 0-0", 1, Some(0..1)),
            ("bytes=100-", 100, None),
            ("bytes=-0", 100, None),
            ("bytes=0-18446744073709551615", 100, Some(0..100)),
        ] {
            let resolved = ByteRange::parse(header).unwrap().resolve(total).ok();
            assert_eq!(resolved, part, "{header}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for header in
            ["", "bytes", "bytes=", "bytes=-", "bytes=9-0", "lines=0-1", "bytes=0-1,4-5", "bytes=+1-2"]
        {
            assert_eq!(ByteRange::parse(header), None, "{header}");
        }
    }
}
