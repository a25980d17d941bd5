//! A small tree of XML, read by local names and within caps.
//!
//! In: bytes that claim to be XML. Out: what could be read of them as a tree, and what was
//! odd. A document type is refused; a text that breaks off keeps what came before. Not
//! here: what the elements mean.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The longest document that is read. Units: bytes.
pub const XML_BYTES: usize = 256 * 1024;
/// The deepest nesting that is read.
pub const XML_DEPTH: usize = 32;
/// The most tags and texts of one document.
pub const XML_EVENTS: usize = 32_768;

/// One element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Local name in lower case.
    pub name: String,
    /// Attributes: local names in lower case, and values.
    pub attributes: Vec<(String, String)>,
    /// Its own text, trimmed.
    pub text: String,
    /// Elements inside it.
    pub children: Vec<Node>,
}

/// What could be read of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The outermost element.
    pub root: Node,
    /// Whether it was ill-formed.
    pub odd: bool,
    /// Whether it broke off before its end.
    pub cut: bool,
}

/// EndReason nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is longer, deeper or has more elements than any honest document.
    #[error("the document is beyond the caps")]
    TooLarge,
    /// It has a document type, by which entities could be defined.
    #[error("the document has a document type")]
    DocumentType,
    /// There is no element in it.
    #[error("there is no element")]
    Empty,
}

impl Node {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The children of that name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Every element inside it, at any depth, in document order.
    pub fn descendants(&self) -> Vec<&Node> {
        let (mut all, mut open) = (Vec::new(), vec![self]);
        while let Some(node) = open.pop() {
            all.push(node);
            open.extend(node.children.iter().rev());
        }
        all.remove(0);
        all
    }

    /// The text of the first element of that name (in lower case) that has any.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let found = self.descendants().into_iter().find(|node| node.name == name && !node.text.is_empty());
        found.map(|node| node.text.as_str())
    }
}

/// The text of a document, and whether any of it could not be read: UTF-8, UTF-16 with its
/// mark, else one byte a character, as older equipment writes it.
fn text_of(bytes: &[u8]) -> (String, bool) {
    let wide = |order: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| order([pair[0], pair[1]])).collect();
        let text = String::from_utf16_lossy(&units);
        let odd = text.contains('\u{fffd}');
        (text, odd)
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (bytes.iter().map(|byte| char::from(*byte)).collect(), true),
        },
    }
}

/// Reads a document.
///
/// Errors: a document type, beyond the caps, or no element at all.
pub fn read(bytes: &[u8]) -> Result<Document, XmlError> {
    if bytes.len() > XML_BYTES {
        return Err(XmlError::TooLarge);
    }
    let (text, odd) = text_of(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let (mut open, mut events, mut odd, mut cut) = (vec![Node::default()], 0, odd, false);
    loop {
        events += 1;
        if open.len() > XML_DEPTH + 1 || events > XML_EVENTS {
            return Err(XmlError::TooLarge);
        }
        match reader.read_event() {
            Ok(Event::Start(start)) => open.push(node(&start)),
            Ok(Event::Empty(start)) => {
                open.push(node(&start));
                shut(&mut open);
            }
            Ok(Event::End(end)) => close(&mut open, end.local_name().into_inner(), &mut odd),
            Ok(Event::Text(text)) => push_text(&mut open, &text.xml10_content()),
            Ok(Event::CData(text)) => push_text(&mut open, &text.xml10_content()),
            Ok(Event::GeneralRef(name)) => {
                let text = entity(&name);
                odd |= text.is_none();
                push_text(&mut open, text.unwrap_or_default().as_str());
            }
            Ok(Event::DocType(_)) => return Err(XmlError::DocumentType),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    cut |= open.len() > 1;
    while open.len() > 1 {
        shut(&mut open);
    }
    let root = open.pop().filter(|top| !top.children.is_empty());
    let document = |mut top: Node| Document { root: top.children.swap_remove(0), odd: odd || cut, cut };
    root.map(document).ok_or(XmlError::Empty)
}

fn node(start: &BytesStart<'_>) -> Node {
    let mut all = start.attributes();
    let attributes = all.with_checks(false).flatten().take(64).map(|attribute| {
        let value = quick_xml::escape::unescape(&attribute.value);
        let value = value.map_or_else(|_| attribute.value.to_string(), |value| value.into_owned());
        (attribute.key.local_name().into_inner().to_ascii_lowercase(), value.trim().to_owned())
    });
    let attributes = attributes.collect();
    Node { name: start.local_name().into_inner().to_ascii_lowercase(), attributes, ..Node::default() }
}

fn push_text(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

/// Closes elements up to the one of that name; an end that closes nothing is odd.
fn close(open: &mut Vec<Node>, name: &str, odd: &mut bool) {
    let name = name.to_ascii_lowercase();
    let Some(at) = open.iter().skip(1).rposition(|node| node.name == name) else {
        *odd = true;
        return;
    };
    *odd |= at + 2 != open.len();
    while open.len() > at + 1 {
        shut(open);
    }
}

/// Moves the innermost open element into the one around it.
fn shut(open: &mut Vec<Node>) {
    if let Some(mut node) = open.pop() {
        node.text = node.text.trim().to_owned();
        if let Some(parent) = open.last_mut() {
            parent.children.push(node);
        }
    }
}

/// One of the five named entities or a character reference.
fn entity(name: &quick_xml::events::BytesRef<'_>) -> Option<String> {
    if let Ok(Some(c)) = name.resolve_char_ref() {
        return Some(c.to_string());
    }
    quick_xml::escape::resolve_predefined_entity(name).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_capitals_do_not_matter_and_entities_are_resolved() {
        let Document { root, odd, .. } =
            read(b"\xef\xbb\xbf<?xml version='1.0'?><t:Recording xmlns:t='x'><t:Name id=' a&amp;b '>A &lt;B&gt; &#233;</t:Name><e/></t:Recording>")
                .unwrap();
        assert_eq!((root.name.as_str(), odd), ("recording", false));
        assert_eq!(root.children[0].attribute("id"), Some("a&b"));
        assert_eq!(root.text_of("name"), Some("A <B> \u{e9}"));
        assert_eq!(root.children[1].name, "e");
    }

    #[test]
    fn texts_in_other_character_sets_are_read() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><name>S\xf8ren</name>";
        let Document { root, odd, cut } = read(latin).unwrap();
        assert_eq!((root.text.as_str(), odd, cut), ("S\u{f8}ren", true, false));
        let wide: Vec<u8> =
            "\u{feff}<name>S\u{f8}ren</name>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(read(&wide).unwrap().root.text, "S\u{f8}ren");
        assert_eq!(read(&[0xff, 0xfe]), Err(XmlError::Empty));
    }

    #[test]
    fn a_text_that_breaks_off_keeps_what_came_before() {
        let Document { root, odd, cut } = read(b"<a><b>1</b><c><d>2</d").unwrap();
        assert!(odd && cut);
        assert_eq!((root.text_of("b"), root.named("c").count()), (Some("1"), 1));
    }

    #[test]
    fn document_types_and_bombs_are_refused() {
        assert_eq!(read(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), Err(XmlError::DocumentType));
        assert_eq!(read("<a>".repeat(XML_DEPTH + 2).as_bytes()), Err(XmlError::TooLarge));
        assert_eq!(read(&vec![b' '; XML_BYTES + 1]), Err(XmlError::TooLarge));
        assert_eq!(read("<a/>".repeat(XML_EVENTS).as_bytes()), Err(XmlError::TooLarge));
        assert_eq!(read(b"no xml"), Err(XmlError::Empty));
        assert_eq!(read(b""), Err(XmlError::Empty));
    }
}
