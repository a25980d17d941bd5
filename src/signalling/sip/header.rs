//! Header fields: names in one spelling, values as they came, lists cut where they may be.
//!
//! In: lines of a message. Out: a [`Headers`] table. Not here: what a value means.

use std::borrow::Cow;

/// The header fields of a message, in the order received.
///
/// Shape: names are lower-case long forms; values are unfolded and trimmed, their bytes
/// otherwise as received (not always UTF-8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Adds a field. A compact or oddly capitalised name becomes the lower-case long form.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((long_form(name), value.into()));
    }

    /// Fields in all.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The raw values of every field called `name` (lower-case long form).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// The first field called `name` as text; foreign bytes become U+FFFD.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(String::from_utf8_lossy(value))
    }

    /// The elements of the comma lists in all fields called `name`.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .flat_map(|value| {
                split_list(&String::from_utf8_lossy(value)).into_iter().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether a comma list called `name` has the element `token`, whatever its case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|item| bare(item).eq_ignore_ascii_case(token))
    }
}

/// Cuts a comma list; commas in quotes, in `<…>` and in `(…)` belong to the element.
pub fn split_list(value: &str) -> Vec<&str> {
    split_outside(value, b',').into_iter().map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// The part of `value` before its first parameter.
pub fn bare(value: &str) -> &str {
    split_outside(value, b';').first().map_or("", |head| head.trim())
}

/// The parameter `name` of a header value; `Some("")` where it has no value. Quotes are removed.
pub fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    split_outside(value, b';').into_iter().skip(1).find_map(|part| {
        let (key, text) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| unquote(text.trim()))
    })
}

/// Removes one pair of double quotes.
pub fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// Whether `text` is a token.
///
/// Source: RFC 3261 §25.1.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// Cuts at `separator` where it stands outside of quotes, angle brackets and comments.
fn split_outside(value: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut angle, mut comment) = (false, false, false, 0_u32);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if comment == 0 => quoted = !quoted,
            _ if quoted => {}
            b'(' => comment += 1,
            b')' => comment = comment.saturating_sub(1),
            b'<' => angle = true,
            b'>' => angle = false,
            _ if byte == separator && !angle && comment == 0 => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

/// The lower-case long form of a field name.
///
/// Source: the compact forms of RFC 3261 §7.3.3 and of the extensions that define one.
fn long_form(name: &str) -> String {
    let lower = name.trim().to_ascii_lowercase();
    let long = match lower.as_str() {
        "a" => "accept-contact",
        "b" => "referred-by",
        "c" => "content-type",
        "e" => "content-encoding",
        "f" => "from",
        "i" => "call-id",
        "j" => "reject-contact",
        "k" => "supported",
        "l" => "content-length",
        "m" => "contact",
        "o" => "event",
        "r" => "refer-to",
        "s" => "subject",
        "t" => "to",
        "u" => "allow-events",
        "v" => "via",
        "x" => "session-expires",
        "y" => "identity",
        _ => return lower,
    };
    long.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_outside_of_quotes_and_brackets() {
        let value = r#""Bell, A \"x\"" <sip:a@b;p=1,2>;tag=3 , <sip:c@d>, (x,y) e"#;
        assert_eq!(split_list(value), [r#""Bell, A \"x\"" <sip:a@b;p=1,2>;tag=3"#, "<sip:c@d>", "(x,y) e"]);
        assert_eq!(param(split_list(value)[0], "TAG"), Some("3"));
        assert_eq!(bare("siprec ; x=\"a;b\""), "siprec");
    }

    #[test]
    fn compact_names_and_capitals_meet() {
        let mut headers = Headers::default();
        headers.push("V", *b"SIP/2.0/UDP a");
        headers.push("VIA", *b"SIP/2.0/UDP b, SIP/2.0/TCP c");
        assert_eq!(headers.list("via").len(), 3);
        headers.push("k", *b"100rel, Timer");
        assert!(headers.lists("supported", "timer"));
    }
}
