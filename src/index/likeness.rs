//! Similarity of what a caller gives and what was recorded. Pure. In: two spellings. Out: 0 to 1.
//!
//! Names: case, accents and word order are ignored (`fold`); words are compared by edit distance with transpositions,
//! as written and by sound, and by shared letter pairs. Numbers: equal, equal suffix, or one digit wrong or two
//! swapped.

use super::fold::fold;

/// Minimum similarity for two names to be considered the same.
pub const NAME_LEAST: f64 = 0.6;
/// Minimum number of digits for a suffix match.
const ENDING_DIGITS: usize = 4;
/// Minimum number of digits at which one wrong digit is tolerated.
const TYPO_DIGITS: usize = 7;

/// How two numbers match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberLikeness {
    /// Equal.
    Same,
    /// The recorded number ends with the given digits.
    Ending,
    /// One digit is wrong, missing or extra, or two adjacent digits are swapped.
    OneDigitOff,
}

impl NumberLikeness {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            NumberLikeness::Same => "same",
            NumberLikeness::Ending => "ending",
            NumberLikeness::OneDigitOff => "one_digit_off",
        }
    }

    /// Score of the match. Units: 0 to 1.
    pub const fn score(self) -> f64 {
        match self {
            NumberLikeness::Same => 1.0,
            NumberLikeness::Ending => 0.8,
            NumberLikeness::OneDigitOff => 0.6,
        }
    }
}

/// Compares a given number, normalised (`asked`) and as bare digits, with a recorded one in normal form.
pub fn number(asked: &str, digits: &str, known: &str) -> Option<NumberLikeness> {
    if asked == known {
        Some(NumberLikeness::Same)
    } else if digits.len() >= ENDING_DIGITS && known.ends_with(digits) {
        Some(NumberLikeness::Ending)
    } else if asked.len() >= TYPO_DIGITS && strsim::damerau_levenshtein(asked, known) <= 1 {
        Some(NumberLikeness::OneDigitOff)
    } else {
        None
    }
}

/// Compares a given name with a recorded one, both in any spelling. Units: 0 to 1.
pub fn name(asked: &str, known: &str) -> f64 {
    let (asked, known) = (fold(asked), fold(known));
    if asked.is_empty() || known.is_empty() {
        return 0.0;
    }
    let known: Vec<&str> = words(&known).collect();
    // Each given word takes its best match; an unmatched word lowers the score.
    let best = |word: &str| known.iter().map(|other| word_likeness(word, other)).fold(0.0, f64::max);
    let (sum, weight) = words(&asked).fold((0.0, 0.0), |(sum, weight), word| {
        let letters = word.chars().count() as f64;
        (sum + best(word) * letters, weight + letters)
    });
    if weight == 0.0 { 0.0 } else { sum / weight }
}

/// Words of a folded name. The migrations split names in the same way.
pub(super) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split([' ', '-', '.', ',']).filter(|word| !word.is_empty())
}

/// Similarity of two folded words. Units: 0 to 1.
pub(super) fn word_likeness(one: &str, other: &str) -> f64 {
    let edits = |a: &str, b: &str| strsim::normalized_damerau_levenshtein(a, b);
    let written = edits(one, other).max(strsim::sorensen_dice(one, other));
    let sounded = 0.95 * edits(&sound(one), &sound(other));
    // A prefix or an initial is a partial match.
    let begun = if other.starts_with(one) { 0.7 } else { 0.0 };
    written.max(sounded).max(begun)
}

/// Phonetic form of a word: letters that sound alike in Danish and neighbouring languages are merged.
fn sound(word: &str) -> String {
    let mut sounded = word.to_owned();
    for (from, to) in [
        ("sch", "s"),
        ("ch", "k"),
        ("ck", "k"),
        ("ph", "f"),
        ("th", "t"),
        ("dt", "t"),
        ("ld", "l"),
        ("nd", "n"),
        ("hj", "j"),
        ("hv", "v"),
        ("gh", "g"),
        ("aa", "o"),
        ("ae", "e"),
        ("oe", "o"),
        ("ue", "y"),
        ("ei", "aj"),
        ("ej", "aj"),
        ("x", "ks"),
        ("q", "k"),
        ("c", "k"),
        ("w", "v"),
        ("z", "s"),
        ("i", "y"),
        ("é", "e"),
    ] {
        sounded = sounded.replace(from, to);
    }
    let mut letters: Vec<char> = sounded.chars().collect();
    letters.dedup();
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_found_and_other_names_are_not() {
        for (asked, known) in [
            ("Kristensen", "Mette Christensen"),
            ("Sorensen", "Søren Sørensen"),
            ("Lovlace Ada", "Ada Lovelace"),
            ("Müler", "Hans Müller"),
            ("Aagard", "Søren Ågård"),
            ("Petersen", "Pedersen"),
            ("Schmit", "Schmidt"),
            ("karen blixn", "Karen Blixen"),
            ("Vestergård", "Westergaard"),
            ("Anne-Marie Jensen", "Annemarie Jensen"),
        ] {
            let likeness = name(asked, known);
            assert!(likeness >= NAME_LEAST, "{asked} / {known}: {likeness}");
        }
        for (asked, known) in
            [("Jensen", "Olsen"), ("Ada Lovelace", "Karen Blixen"), ("Møller", "Nielsen"), ("x", "")]
        {
            let likeness = name(asked, known);
            assert!(likeness < NAME_LEAST, "{asked} / {known}: {likeness}");
        }
        assert_eq!(name("søren ÅGÅRD", "Ågård, Søren"), 1.0);
    }

    #[test]
    fn numbers_meet_whole_by_their_end_or_with_one_slip() {
        let is = |asked: &str, known: &str| number(&format!("45{asked}"), asked, known);
        assert_eq!(is("12345678", "4512345678"), Some(NumberLikeness::Same));
        assert_eq!(is("5678", "4512345678"), Some(NumberLikeness::Ending));
        assert_eq!(is("12345687", "4512345678"), Some(NumberLikeness::OneDigitOff));
        assert_eq!(is("1234567", "4512345678"), Some(NumberLikeness::OneDigitOff));
        assert_eq!(is("12345567", "4512345678"), None);
        assert_eq!(is("678", "4512345678"), None);
    }
}
