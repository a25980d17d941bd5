//! SIP and `tel` URIs, and the name-addr form that From, To, Contact and the like share.
//!
//! In: text. Out: parts; what is not understood is kept as text. Not here: resolution of
//! names.

use super::header::{is_token, param};

/// A URI of a scheme that a recorder can be called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// `sip`, `sips` or `tel`, or another one in lower case.
    pub scheme: String,
    /// User part without its password, escapes kept; the number of a `tel` URI.
    pub user: String,
    /// Host with its port, as written; empty for `tel`.
    pub host: String,
    /// The whole as it was written.
    pub text: String,
}

/// A URI with the name shown for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Name without its quotes and escapes; empty where there is none.
    pub display: String,
    /// The URI.
    pub uri: Uri,
    /// The whole field element, as written.
    pub text: String,
}

impl Uri {
    /// Reads a URI of any scheme; `None` where it is none at all.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let known = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !known || rest.is_empty() || text.contains(|c: char| c.is_ascii_whitespace() || c.is_control()) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (user, host) = match scheme.as_str() {
            "tel" => (rest.split(';').next().unwrap_or(rest), ""),
            _ => split_user(rest),
        };
        Some(Self { scheme, user: user.to_owned(), host: host.to_owned(), text: text.to_owned() })
    }

    /// Whether a recorder can be the target of it.
    pub fn is_telephony(&self) -> bool {
        matches!(self.scheme.as_str(), "sip" | "sips" | "tel")
    }

    /// The user part with its escapes undone and its own parameters cut off.
    pub fn user_text(&self) -> String {
        let bare = self.user.split(';').next().unwrap_or_default();
        unescape(bare)
    }

    /// The URI parameter `name`, for example `transport`.
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.text[self.text.find('@').map_or(0, |at| at + 1)..], name)
    }
}

impl NameAddr {
    /// Reads `"name" <uri>;params`, `name <uri>` or `uri;params`.
    ///
    /// Blanks inside `<…>`, an open quote, and a comma outside of quotes make it unreadable;
    /// a name in bytes beyond ASCII without quotes is taken, as equipment sends it.
    ///
    /// Source: RFC 3261 §20.10 and §25.1; RFC 4475 §3.1.2.6, §3.1.2.14 and §3.1.2.15.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (display, rest) = split_display(text)?;
        let uri = match rest.strip_prefix('<') {
            Some(inner) => Uri::parse(inner.split_once('>')?.0)?,
            None => {
                if !display.is_empty() {
                    return None;
                }
                Uri::parse(rest.split([';', '?', ',']).next()?.trim())?
            }
        };
        Some(Self { display, uri, text: text.to_owned() })
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        param(&self.text, "tag").map(str::trim).filter(|tag| !tag.is_empty())
    }
}

/// The display name, unquoted, and what follows it.
fn split_display(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (mut name, mut escaped) = (String::new(), false);
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => {
                    name.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => return Some((name, quoted[at + 1..].trim_start())),
                _ => name.push(c),
            }
        }
        return None;
    }
    match text.find('<') {
        Some(at) => {
            let name = text[..at].trim();
            let readable = name
                .split_whitespace()
                .all(|word| is_token(word) || !word.is_ascii() && !word.contains([',', '"', ';', '@', ':']));
            readable.then(|| (name.to_owned(), &text[at..]))
        }
        None => Some((String::new(), text)),
    }
}

/// User (without password) and host, without URI parameters and headers.
fn split_user(rest: &str) -> (&str, &str) {
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (user.split(':').next().unwrap_or(user), host),
        None => ("", rest),
    };
    (user, host.split([';', '?']).next().unwrap_or(host))
}

/// Undoes `%41`; a `%` that escapes nothing stays.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_in_every_form() {
        for (text, display, user, tag) in [
            (
                r#""Extension 8500" <sip:4555501012@192.0.2.17>;tag=x"#,
                "Extension 8500",
                "4555501012",
                Some("x"),
            ),
            (
                r#""J Rosenberg \\\"" <sip:jdrosen@example.com> ; tag = 98"#,
                r#"J Rosenberg \""#,
                "jdrosen",
                Some("98"),
            ),
            ("caller<sip:caller@example.com>;tag=323", "caller", "caller", Some("323")),
            ("sip:user;par=u%40e.net@example.com;tag=1", "", "user;par=u%40e.net@example.com", None),
            ("tel:+4512345678;tag=9", "", "+4512345678", Some("9")),
            ("Søren Ø <sip:1@h>", "Søren Ø", "1", None),
        ] {
            let read = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.display, display);
            if text.starts_with("sip:user") {
                continue;
            }
            assert_eq!(read.uri.user, user, "{text}");
            assert_eq!(read.tag(), tag, "{text}");
        }
    }

    #[test]
    fn broken_names_are_refused() {
        for text in [
            r#""Mr. J. User <sip:j.user@example.com>"#,
            r#""Watson, Thomas" < sip:t.watson@example.org >"#,
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "",
            "<>",
        ] {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn user_parts_lose_escapes_passwords_and_parameters() {
        let uri = Uri::parse("sip:1%32345;phone-context=x:pw@h:5060;transport=tcp?a=b").unwrap();
        assert_eq!((uri.user_text().as_str(), uri.host.as_str()), ("12345", "h:5060"));
        assert_eq!(uri.param("transport").map(|t| t.split('?').next().unwrap()), Some("tcp"));
    }
}
