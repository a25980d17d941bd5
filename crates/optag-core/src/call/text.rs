//! Sanitising of external texts shown to people: names, numbers, labels, call identifiers.
//!
//! In: text from signalling, metadata, the API or a table. Out: the same without characters that control a
//! terminal or a printed page, or that hide content. Every interface uses this: names of people in a call are
//! cleaned, by signalling and the API alike, since rejecting them costs a recording; identifiers, staff input
//! and imported data are rejected.

/// Whether a character is a control or invisible: controls, line and paragraph separators, bidirectional
/// marks and overrides, invisible characters.
///
/// Source: Unicode categories Cc, Zl, Zp, and the Cf characters of UAX #9 and UTS #39.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The characters of a text, each with whether it is hidden. A joiner or non-joiner (ZWJ, ZWNJ) is part of a
/// name between two letters or signs of a script that uses them, as in Persian and Hindi, and between the
/// parts of an emoji; elsewhere it is invisible, and makes two different names look alike.
///
/// Source: UAX #31 §2.3 (Layout and Format Control Characters), applied more broadly: by the range of the
/// script only.
fn seen(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let mut before = None;
    let mut all = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = all.next()?;
        let hidden = match c {
            '\u{200c}' | '\u{200d}' => {
                !(before.is_some_and(may_join) && all.peek().copied().is_some_and(may_join))
            }
            c => is_hidden(c),
        };
        before = Some(c);
        Some((c, hidden))
    })
}

/// Letters and signs from Arabic to the last script of South Asia, Mongolian, presentation forms, emoji.
fn may_join(c: char) -> bool {
    matches!(c,
        '\u{600}'..='\u{61b}' | '\u{620}'..='\u{109f}' | '\u{1700}'..='\u{180d}' | '\u{180f}'..='\u{1cff}'
        | '\u{2600}'..='\u{27bf}' | '\u{a800}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe0f}'
        | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{11fff}' | '\u{1f000}'..='\u{1faff}')
}

/// Whether a text has no hidden characters.
pub fn is_plain(text: &str) -> bool {
    !seen(text).any(|(_, hidden)| hidden)
}

/// A text cleaned for display, at most `most` characters long. Hidden characters are removed; where one
/// separated words, it becomes a space.
pub fn clean(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most * 4));
    let (mut length, mut parted) = (0, false);
    for (c, hidden) in seen(text) {
        if hidden {
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
            // Persian with a non-joiner, Devanagari with a joiner, an emoji of several parts.
            ("\u{645}\u{6cc}\u{200c}\u{631}\u{648}\u{62f}", "\u{645}\u{6cc}\u{200c}\u{631}\u{648}\u{62f}"),
            ("\u{915}\u{94d}\u{200d}\u{937}", "\u{915}\u{94d}\u{200d}\u{937}"),
            ("\u{1f469}\u{200d}\u{1f4bb}", "\u{1f469}\u{200d}\u{1f4bb}"),
            // Where they would only make two names look alike.
            ("B\u{200d}o\u{200c}", "Bo"),
            ("\u{645}\u{200c}", "\u{645}"),
            ("\u{200d}\u{645}", "\u{645}"),
            ("\u{645}\u{200c}\u{200c}\u{631}", "\u{645}\u{631}"),
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
