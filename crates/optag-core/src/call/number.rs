//! Telephone numbers in all common spellings, normalised for search.

/// Normalises a number to digits with the country code in front, so that `+45 12 34 56 78`, `004512345678`,
/// `tel:+4512345678;ext=1` and `12345678` are equal (with `country_code` "45").
///
/// A number too short to be public (an extension, at most six digits) is kept as it is. Returns `None` if there
/// is no digit at all ("anonymous").
///
/// Source: E.164 for the form, RFC 3966 §3 for `tel:`, its visual separators and `phone-context`.
pub fn normalise(written: &str, country_code: &str) -> Option<String> {
    let lower = written.trim().to_ascii_lowercase();
    let body = ["tel:", "sip:", "sips:"].iter().find_map(|s| lower.strip_prefix(s)).unwrap_or(&lower);
    let whole = in_full(body);
    let body = whole.split([';', '@', '?']).next().unwrap_or_default().trim();
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
    // The trunk prefix is removed; a national number gets its country code.
    let national = digits.strip_prefix('0').unwrap_or(&digits);
    let has_country = national.starts_with(country_code) && national.len() >= country_code.len() + 8;
    Some(if has_country { national.to_owned() } else { format!("{country_code}{national}") })
}

/// A local number with the prefix of its `phone-context`: `12345678;phone-context=+46` becomes `+4612345678`.
/// A context that is a domain does not affect the number and is removed.
///
/// Source: RFC 3966 §5.1.5.
pub fn in_full(text: &str) -> String {
    let user = text.split(['@', '?']).next().unwrap_or_default();
    let mut parts = user.split(';').map(str::trim);
    let number = parts.next().unwrap_or_default();
    let context = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("phone-context").then(|| value.trim().trim_matches('"'))
    });
    let prefix = context.and_then(|context| {
        let context = context.replace("%2B", "+").replace("%2b", "+");
        context.strip_prefix('+').map(|rest| rest.chars().filter(char::is_ascii_digit).collect::<String>())
    });
    match prefix.filter(|prefix| !prefix.is_empty() && !number.starts_with('+') && is_number(number)) {
        // A trunk prefix is not used after a country code.
        Some(prefix) => format!("+{prefix}{}", number.strip_prefix('0').unwrap_or(number)),
        None => number.to_owned(),
    }
}

/// Whether a user part is a telephone number or an extension, rather than a name containing digits.
pub fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.() /".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_context_completes_a_local_number_and_a_domain_does_not() {
        for (written, expect) in [
            ("tel:12345678;phone-context=+46", "4612345678"),
            ("tel:030-1234567;ext=3;phone-context=+49", "49301234567"),
            ("sip:12345678;phone-context=+46@pbx.example;user=phone", "4612345678"),
            ("tel:4711;phone-context=+45-7010", "4570104711"),
            ("tel:4711;phone-context=kommune.example", "4711"),
            ("tel:+4512345678;phone-context=+46", "4512345678"),
            ("tel:12345678;phone-context=%2B46", "4612345678"),
        ] {
            assert_eq!(normalise(written, "45").as_deref(), Some(expect), "{written}");
        }
        assert!(is_number("+45 70 10 (20) 30") && !is_number("agent7") && !is_number("") && !is_number("-"));
    }

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
