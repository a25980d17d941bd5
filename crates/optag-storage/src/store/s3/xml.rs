//! A store's document as a tree with the position of each element in the text, so that foreign parts can be returned
//! unchanged.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

/// Maximum length of a document. Units: bytes.
const MOST_BYTES: usize = 4 << 20;
/// Maximum nesting depth.
const DEEPEST: usize = 32;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// Name as written, with its prefix.
    pub name: String,
    /// Own text, trimmed.
    pub text: String,
    /// Child elements.
    pub children: Vec<Element>,
    /// Position, tags included. Units: bytes.
    pub span: Range<usize>,
    /// Position of the content between the tags. Units: bytes.
    pub inner: Range<usize>,
}

impl Element {
    /// Name without its prefix.
    pub(crate) fn local(&self) -> &str {
        self.name.rsplit(':').next().unwrap_or_default()
    }

    /// The first element at a path of local names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Element> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        self.children.iter().filter(|child| child.local() == *first).find_map(|child| child.at(rest))
    }

    /// Whether it is written as one tag, `<a/>`.
    pub(crate) fn is_empty_tag(&self) -> bool {
        self.inner.end == self.span.end
    }

    /// Canonical content, independent of the order of elements.
    pub(crate) fn canonical(&self) -> String {
        let mut inside: Vec<String> = self.children.iter().map(Element::canonical).collect();
        inside.sort();
        format!("{}[{}]{{{}}}", self.local(), self.text, inside.join(""))
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Parses a whole, well-formed document.
///
/// Errors: malformed, too long or too deeply nested; describes the problem.
pub(crate) fn read(text: &str) -> Result<Element, String> {
    if text.len() > MOST_BYTES {
        return Err("the document is too long".into());
    }
    // The parser leaves out a byte order mark, and does not count it.
    let mark = text.len() - text.trim_start_matches(BYTE_ORDER_MARK).len();
    let mut reader = Reader::from_str(&text[mark..]);
    let mut open = vec![Element::default()];
    loop {
        let from = mark + reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| format!("no well-formed XML: {error}"))?;
        let to = mark + reader.buffer_position() as usize;
        let made = |name: &str, inner: Range<usize>| Element {
            name: name.to_owned(),
            span: from..to,
            inner,
            ..Element::default()
        };
        match event {
            Event::Start(tag) => open.push(made(tag.name().as_ref(), to..to)),
            Event::Empty(tag) => {
                let element = made(tag.name().as_ref(), to..to);
                open.last_mut().ok_or("unbalanced")?.children.push(element);
            }
            Event::End(_) => {
                let mut element = open.pop().ok_or("unbalanced")?;
                (element.inner.end, element.span.end) = (from, to);
                element.text = element.text.trim().to_owned();
                open.last_mut().ok_or("unbalanced")?.children.push(element);
            }
            Event::Text(part) => push(&mut open, &part.xml10_content()),
            Event::CData(part) => push(&mut open, &part.xml10_content()),
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().map_err(|error| error.to_string())?;
                let text = match character {
                    Some(character) => character.to_string(),
                    None => {
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or_else(|| format!("`&{};` is unknown", &*name))?.to_owned()
                    }
                };
                push(&mut open, &text);
            }
            Event::DocType(_) => return Err("the document has a document type".into()),
            Event::Eof => break,
            _ => {}
        }
        if open.len() > DEEPEST {
            return Err("the document is too deep".into());
        }
    }
    let mut top = open.pop().filter(|_| open.is_empty()).ok_or("the document breaks off")?;
    match top.children.len() {
        1 => Ok(top.children.remove(0)),
        _ => Err("there is not one element at the top".into()),
    }
}

fn push(open: &mut [Element], text: &str) {
    if let Some(top) = open.last_mut() {
        top.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_knows_where_it_stands_and_what_it_says() {
        let text = "<?xml version='1.0'?><a:r x='1'>\n <b>one &amp; <![CDATA[two]]></b><c/></a:r>\n";
        let root = read(text).unwrap();
        assert_eq!((root.name.as_str(), root.local()), ("a:r", "r"));
        let b = root.at(&["b"]).unwrap();
        assert_eq!((b.text.as_str(), &text[b.inner.clone()]), ("one & two", "one &amp; <![CDATA[two]]>"));
        let c = root.at(&["c"]).unwrap();
        assert!(c.is_empty_tag() && &text[c.span.clone()] == "<c/>");
        assert!(&text[root.span.clone()] == text.split_once("?>").unwrap().1.trim_end());
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        for text in ["", "<a>", "<a></b>", "<a/><b/>", "<a>&x;</a>", "<!DOCTYPE a><a/>", "plain"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"<a>".repeat(100)).is_err());
    }
}
