//! SIP and `tel` URIs, and the name-addr form that From, To, Contact and the like share.
//!
//! In: text. Out: parts; what is not understood is kept as text. Not here: resolution of
//! names.

use super::header::param;

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
    /// What follows the URI: the field's own parameters.
    params: String,
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

    /// Whether requests can be sent to it: its scheme is `sip` or `sips`, and it has a host.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme.as_str(), "sip" | "sips") && !self.host.is_empty()
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
    /// Reads `"name" <uri>;params`, `name <uri>` or `uri;params`; `None` where no URI is found.
    ///
    /// What only the name is spoilt by costs nothing: characters that want quotes, quotes that
    /// are doubled or never closed, blanks inside `<…>`, a `>` that is missing.
    ///
    /// Source: RFC 3261 §20.10 and §25.1; RFC 4475 §3.1.2.6, §3.1.2.14 and §3.1.2.15, which let an
    /// element infer what is meant.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let at = match quoted_end(text) {
            Some(end) if text[end..].trim_start().starts_with('<') => text[end..].find('<').map(|n| end + n),
            _ => bracket(text),
        };
        let Some(at) = at else {
            let end = text.find([';', '?', ',']).unwrap_or(text.len());
            let uri = Uri::parse(text[..end].trim())?;
            return Some(Self::of(String::new(), uri, text, &text[end..]));
        };
        let inner = &text[at + 1..];
        let (inner, params) = inner.split_once('>').unwrap_or((inner, ""));
        let address: String = inner.split_whitespace().collect();
        Some(Self::of(plain_name(&text[..at]), Uri::parse(&address)?, text, params))
    }

    /// The same, of a field that must be answered whatever stands in it: what no URI is found in
    /// has an empty one. `None` where the field is empty.
    pub fn lenient(text: &str) -> Option<Self> {
        let nothing = || {
            let end = text.find(';').unwrap_or(text.len());
            let uri = Uri {
                scheme: String::new(),
                user: String::new(),
                host: String::new(),
                text: text[..end].trim().to_owned(),
            };
            Self::of(String::new(), uri, text.trim(), &text[end..])
        };
        Self::parse(text).or_else(|| (!text.trim().is_empty()).then(nothing))
    }

    fn of(display: String, uri: Uri, text: &str, params: &str) -> Self {
        Self { display, uri, text: text.to_owned(), params: params.to_owned() }
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        param(&self.params, "tag").map(str::trim).filter(|tag| !tag.is_empty())
    }
}

/// Where a quoted name at the start of `text` ends, just behind its second quote.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut rest = text.char_indices().skip(usize::from(text.starts_with('"')));
    let end = |(at, c): (usize, char)| match c {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '"' => Some(at + 1),
        _ => None,
    };
    text.starts_with('"').then(|| rest.find_map(end)).flatten()
}

/// Where the `<` of an address stands: the first one that a telephony URI follows, unless the text
/// begins with such a URI itself; else the first.
fn bracket(text: &str) -> Option<usize> {
    let telephony = |text: &str| {
        let text = text.trim_start();
        ["sip:", "sips:", "tel:"]
            .iter()
            .any(|s| text.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)))
    };
    let mut all = text.match_indices('<').map(|(at, _)| at);
    let usual = all.clone().find(|at| telephony(&text[at + 1..]));
    match usual {
        Some(at) if !telephony(text) || text[..at].ends_with([' ', '\t']) => Some(at),
        _ if telephony(text) => None,
        _ => all.next(),
    }
}

/// A display name without the quotes around it and its escapes.
fn plain_name(text: &str) -> String {
    let text = text.trim();
    let (mut name, mut escaped) = (String::new(), false);
    let whole = quoted_end(text) == Some(text.len());
    let inner = if whole { &text[1..text.len() - 1] } else { text.trim_matches('"') };
    for c in inner.chars() {
        match c {
            '\\' if text.starts_with('"') && !escaped => escaped = true,
            _ => {
                name.push(c);
                escaped = false;
            }
        }
    }
    name
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
    fn what_only_spoils_a_name_costs_no_call() {
        for (text, display, user) in [
            ("\"Mr. J. User <sip:j.user@example.com>;tag=43", "Mr. J. User", "j.user"),
            ("\"Watson, Thomas\" < sip:t.watson@example.org >;tag=43", "Watson, Thomas", "t.watson"),
            ("Bell, Alexander <sip:a.g.bell@example.com>;tag=43", "Bell, Alexander", "a.g.bell"),
            ("Holm & Co (Skat) #1 <sip:1@h>;tag=43", "Holm & Co (Skat) #1", "1"),
            ("\"\"unknown\"\" <sip:2@h>;tag=43", "unknown", "2"),
            ("\"\" <sip:3@h>;tag=43", "", "3"),
            ("bo@kommune.example <sip:4@h>;tag=43", "bo@kommune.example", "4"),
            ("Tlf: Bo <SIP:5@h>;tag=43", "Tlf: Bo", "5"),
            ("a <b> c <sip:6@h>;tag=43", "a <b> c", "6"),
            ("Bo <sip:7@h;x=y", "Bo", "7"),
            ("sip:8@h;tag=43;+sip.instance=\"<urn:uuid:0f>\";methods=\"INVITE, ACK\"", "", "8"),
            ("sip:9@h;tag=43;+x=\"<sip:z@z>\"", "", "9"),
            ("\"B \\\"o\\\"\"<tel:10>;tag=43", "B \"o\"", "10"),
        ] {
            let read = NameAddr::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((read.display.as_str(), read.uri.user.as_str()), (display, user), "{text}");
            assert_eq!(read.tag(), text.contains("tag").then_some("43"), "{text}");
        }
        for text in ["", "<>", "Bo", "\"\"", "<", "\""] {
            assert_eq!(NameAddr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_has_no_address_at_all_keeps_its_tag() {
        let read = NameAddr::lenient("Anonymous;tag=43").unwrap();
        assert_eq!((read.tag(), read.uri.user.as_str()), (Some("43"), ""));
        assert_eq!(NameAddr::lenient(" "), None);
    }

    #[test]
    fn user_parts_lose_escapes_passwords_and_parameters() {
        let uri = Uri::parse("sip:1%32345;phone-context=x:pw@h:5060;transport=tcp?a=b").unwrap();
        assert_eq!((uri.user_text().as_str(), uri.host.as_str()), ("12345", "h:5060"));
        assert_eq!(uri.param("transport").map(|t| t.split('?').next().unwrap()), Some("tcp"));
    }
}
