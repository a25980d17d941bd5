//! Telephone numbers as people and equipment write them, brought to one form for search.

/// Brings `written` to digits with the country code in front, so that
/// `+45 12 34 56 78`, `004512345678`, `tel:+4512345678;ext=1` and `12345678` meet
/// (with `country_code` "45").
///
/// A number that is too short to be public (an extension, at most six digits) stays as it
/// is. Returns `None` where there is no digit at all ("anonymous").
///
/// Source: E.164 for the form, RFC 3966 §3 for `tel:` and its visual separators.
pub fn normalise(written: &str, country_code: &str) -> Option<String> {
    let lower = written.trim().to_ascii_lowercase();
    let body = ["tel:", "sip:", "sips:"].iter().find_map(|s| lower.strip_prefix(s)).unwrap_or(&lower);
    let body = body.split([';', '@', '?']).next().unwrap_or_default().trim();
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    let international = body.trim_start_matches('(').starts_with('+');
    if international {
        return Some(digits);
    }
    if let Some(rest) = digits.strip_prefix("00").filter(|rest| rest.len() > 6) {
        return Some(rest.to_owned());
    }
    if digits.len() <= 6 || country_code.is_empty() {
        return Some(digits);
    }
    // A trunk prefix is dropped; a national number gets its country.
    let national = digits.strip_prefix('0').unwrap_or(&digits);
    let has_country = national.starts_with(country_code) && national.len() >= country_code.len() + 8;
    Some(if has_country { national.to_owned() } else { format!("{country_code}{national}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_number_meets() {
        for written in [
            "12345678",
            "12 34 56 78",
            "+45 12 34 56 78",
            "+4512345678",
            "004512345678",
            "4512345678",
            "tel:+45-12-34-56-78",
            "sip:+4512345678@pbx.example;user=phone",
            " (+45) 12.34.56.78 ",
        ] {
            assert_eq!(normalise(written, "45").as_deref(), Some("4512345678"), "{written}");
        }
    }

    #[test]
    fn foreign_numbers_and_extensions_are_left_alone() {
        assert_eq!(normalise("+49 30 1234567", "45").as_deref(), Some("49301234567"));
        assert_eq!(normalise("030 1234567", "49").as_deref(), Some("49301234567"));
        assert_eq!(normalise("4711", "45").as_deref(), Some("4711"));
        assert_eq!(normalise("anonymous", "45"), None);
        assert_eq!(normalise("", "45"), None);
    }
}
