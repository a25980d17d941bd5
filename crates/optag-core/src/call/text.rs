//! Texts that others wrote and people read: names, numbers, labels, names of calls.
//!
//! In: what signalling, metadata, the API or a table brings. Out: the same without anything that a
//! terminal or a printed page would obey or that hides what stands there. Every door uses what is
//! here: signalling cleans, since nobody can be asked to write it anew; the API and imports refuse.

/// Whether a character is obeyed or hidden instead of shown: controls, line and paragraph
/// separators, marks and overrides of writing direction, invisible characters.
///
/// Source: Unicode categories Cc, Zl, Zp, and the Cf characters of UAX #9 and UTS #39.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether a text is shown as it stands.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// A text as it may be shown, at most `most` characters long. What is hidden is left out; where it
/// parted words, a blank does.
pub fn clean(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most * 4));
    let (mut length, mut parted) = (0, false);
    for c in text.chars() {
        if is_hidden(c) {
            parted |= c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            continue;
        }
        if length >= most {
            break;
        }
        if std::mem::take(&mut parted) && !out.is_empty() && !out.ends_with(' ') && c != ' ' {
            out.push(' ');
            length += 1;
            if length >= most {
                break;
            }
        }
        out.push(c);
        length += 1;
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_page_would_obey_is_left_out() {
        for (text, expect) in [
            ("S\u{f8}ren \u{c6}r\u{f8} \u{1f600}", "S\u{f8}ren \u{c6}r\u{f8} \u{1f600}"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}Bo", "[2J ]0;x Bo"),
            ("Bo\r\nFrom: Ida", "Bo From: Ida"),
            ("Bo\u{202e}oB\u{2066}x\u{2069}", "BooBx"),
            ("B\u{200b}o\u{feff}\u{ad}", "Bo"),
            ("\u{9b}31mBo\u{85}Ida", "31mBo Ida"),
            ("Bo\u{2028}\u{2029}Ida\t", "Bo Ida"),
            ("\0", ""),
        ] {
            assert_eq!(clean(text, 200), expect, "{text:?}");
            assert!(is_plain(expect));
            assert_eq!(is_plain(text), text == expect);
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(clean(&"\u{e6}".repeat(300), 200).chars().count(), 200);
        assert_eq!(clean("ab\nc", 3), "ab");
    }
}
