//! Folds names as people misremember them: ignores case, accents and repeated spaces.

/// Lower case, without accents, one spelling for letters that have two, single spaces.
pub(super) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for c in word.chars().flat_map(char::to_lowercase) {
            match c {
                'æ' | 'ä' => folded.push_str("ae"),
                'ø' | 'ö' | 'œ' => folded.push_str("oe"),
                'å' => folded.push_str("aa"),
                'ü' => folded.push_str("ue"),
                'ß' => folded.push_str("ss"),
                'à' | 'á' | 'â' | 'ã' => folded.push('a'),
                'è' | 'é' | 'ê' | 'ë' => folded.push('e'),
                'ì' | 'í' | 'î' | 'ï' => folded.push('i'),
                'ò' | 'ó' | 'ô' | 'õ' => folded.push('o'),
                'ù' | 'ú' | 'û' => folded.push('u'),
                'ý' | 'ÿ' => folded.push('y'),
                'ç' => folded.push('c'),
                'ñ' => folded.push('n'),
                // Quotation marks that equipment puts around names.
                '"' | '\'' | '`' | '´' => {}
                other => folded.push(other),
            }
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_meet() {
        assert_eq!(fold("  Søren   ÅGÅRD "), fold("soeren aagaard"));
        assert_eq!(fold("\"Zoë Müller\""), "zoe mueller");
    }
}
