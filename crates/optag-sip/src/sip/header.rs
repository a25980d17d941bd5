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

    /// The first field called `name` as text, by [`text_of`].
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(text_of(value))
    }

    /// The elements of the comma lists in all fields called `name`.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.all(name)
            .flat_map(|value| split_list(&text_of(value)).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Whether a comma list called `name` has the element `token`, whatever its case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).iter().any(|item| bare(item).eq_ignore_ascii_case(token))
    }
}

/// A value as text: UTF-8, or Latin-1 where it is none, as older equipment writes names.
pub fn text_of(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Cuts a comma list; commas in quotes, in `<…>` and in `(…)` belong to the element, and so do
/// those of a display name without quotes (`Hansen, Bo <sip:…>`).
pub fn split_list(value: &str) -> Vec<&str> {
    let (mut items, mut words) = (Vec::new(), Vec::new());
    let mut at = 0;
    for piece in split_outside(value, b',') {
        let (start, end) = (at, at + piece.len());
        at = end + 1;
        // Words that an address in angle brackets follows are its name.
        if piece.contains(char::is_alphabetic) && !piece.contains(['<', ':', ';', '@', '"']) {
            words.push(&value[start..end]);
            continue;
        }
        let name: usize = words.iter().map(|word: &&str| word.len() + 1).sum();
        match piece.contains('<') {
            true => items.push(&value[start - name..end]),
            false => items.extend(words.iter().copied().chain([&value[start..end]])),
        }
        words.clear();
    }
    items.extend(words);
    items.into_iter().map(str::trim).filter(|item| !item.is_empty()).collect()
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

/// Marks between which separators do not count.
#[derive(Clone, Copy)]
struct Marks {
    quotes: bool,
    angles: bool,
    comments: bool,
}

/// Cuts at `separator` where it stands outside of quotes, angle brackets and comments. A mark that
/// is opened and never closed is an ordinary character: it must not swallow what follows it.
fn split_outside(value: &str, separator: u8) -> Vec<&str> {
    let mut marks = Marks { quotes: true, angles: true, comments: true };
    loop {
        match split_by(value, separator, marks) {
            Ok(parts) => return parts,
            Err(fewer) => marks = fewer,
        }
    }
}

/// One try of [`split_outside`].
///
/// Errors: the marks that are left when one that is never closed is taken out.
fn split_by(value: &str, separator: u8, marks: Marks) -> Result<Vec<&str>, Marks> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut angle, mut comment) = (false, false, false, 0_u32);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if comment == 0 && marks.quotes => quoted = !quoted,
            _ if quoted => {}
            b'(' if marks.comments => comment += 1,
            b')' => comment = comment.saturating_sub(1),
            b'<' if marks.angles => angle = true,
            b'>' => angle = false,
            _ if byte == separator && !angle && comment == 0 => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    match (quoted, comment > 0, angle) {
        (true, ..) => return Err(Marks { quotes: false, ..marks }),
        (_, true, _) => return Err(Marks { comments: false, ..marks }),
        (.., true) => return Err(Marks { angles: false, ..marks }),
        _ => {}
    }
    parts.push(&value[start..]);
    Ok(parts)
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
    fn what_is_opened_and_never_closed_swallows_nothing() {
        for value in ["a\"b;tag=1;x", "a(b;tag=1;x", "a<b;tag=1;x", "\"(<;tag=1;x"] {
            assert_eq!(param(value, "tag"), Some("1"), "{value}");
            assert_eq!(split_list(&format!("{value}, sip:c@d")).len(), 2, "{value}");
        }
    }

    #[test]
    fn a_comma_in_a_name_without_quotes_begins_no_element() {
        assert_eq!(split_list("Hansen, Bo <sip:a@b>, tel:1"), ["Hansen, Bo <sip:a@b>", "tel:1"]);
        assert_eq!(
            split_list("<sip:a@b>, Berg, Ida, K. <sip:c@d>"),
            ["<sip:a@b>", "Berg, Ida, K. <sip:c@d>"]
        );
        assert_eq!(split_list("100rel, timer,, siprec ,"), ["100rel", "timer", "siprec"]);
        assert_eq!(split_list(""), Vec::<&str>::new());
    }

    #[test]
    fn names_in_latin_1_are_read_as_such() {
        let mut headers = Headers::default();
        headers.push("from", b"J\xf8rgen <sip:1@h>".as_slice());
        assert_eq!(headers.text("from").unwrap(), "J\u{f8}rgen <sip:1@h>");
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
