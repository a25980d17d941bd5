//! Names like a misspelt one, without a time: recordings that share pieces of each of its words, the newest first.
//! In: a name as told. Out: statements whose rows `likeness` then judges.
//!
//! A word with one slip keeps one of its halves as it is, one with two a third of it. Short words are taken by their
//! trigrams.

use super::candidates::{JUDGED, LOOKED_AT};
use super::conditions::escape;
use super::database::Kind;
use super::fold::fold;
use super::statement::Statement;
use super::{Index, IndexError};

/// Rows of a statement.
pub const ALIKE: i64 = 600;
/// Letters of a trigram, and the least of a piece.
const PIECE: usize = 3;
/// Words of a name that are looked at.
const WORDS: usize = 4;

/// Pieces of the words of a name, of which a misspelt one keeps some. None where all words are too short.
pub fn pieces(name: &str) -> Vec<Vec<String>> {
    let folded = fold(name);
    let words = folded.split([' ', '-', '.', ',']).map(|word| word.chars().collect::<Vec<char>>());
    words.filter(|word| word.len() >= PIECE).take(WORDS).map(|word| pieces_of(&word)).collect()
}

fn pieces_of(word: &[char]) -> Vec<String> {
    let text = |letters: &[char]| letters.iter().collect::<String>();
    match word.len() / PIECE {
        0 | 1 => word.windows(PIECE).map(text).collect(),
        parts => {
            // The last piece takes what is over, and is the one that endings keep.
            let parts = parts.min(PIECE);
            let each = word.len() / parts;
            let begins = (0..parts).map(|part| part * each);
            begins
                .map(|at| text(&word[at..if at + 2 * each > word.len() { word.len() } else { at + each }]))
                .collect()
        }
    }
}

impl Index {
    /// Statements for what may be meant: all words, then each alone.
    pub(super) async fn alike(
        &self,
        name: &str,
        department: Option<&str>,
    ) -> Result<Vec<Statement>, IndexError> {
        let words = pieces(name);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked: Vec<&[Vec<String>]> = vec![&words];
        if words.len() > 1 {
            asked.extend(words.iter().map(std::slice::from_ref));
        }
        let by_rows = self.database.kind == Kind::Postgres;
        if !by_rows && !self.names_are_filled().await? {
            let mut sql = Statement::new(JUDGED);
            sql.push(" AND caller_name IS NOT NULL");
            of_department(&mut sql, department);
            sql.push(" ORDER BY started_at_us DESC LIMIT ").bind_number(LOOKED_AT);
            return Ok(vec![sql]);
        }
        let code = match department {
            Some(department) if !by_rows => match self.code(department).await? {
                Some(code) => format!(" AND code : \"{code}\""),
                None => return Ok(Vec::new()),
            },
            _ => String::new(),
        };
        Ok(asked
            .into_iter()
            .map(|words| if by_rows { rows(words, department) } else { places(words, &code) })
            .collect())
    }
}

/// SQLite, by places.
fn places(words: &[Vec<String>], code: &str) -> Statement {
    let quoted = |piece: &String| format!("\"{}\"", piece.replace('"', "\"\""));
    let word = |pieces: &Vec<String>| {
        format!("folded : ({})", pieces.iter().map(quoted).collect::<Vec<_>>().join(" OR "))
    };
    let expression = words.iter().map(word).collect::<Vec<_>>().join(" AND ") + code;
    let mut sql = Statement::new(
        "SELECT r.id, r.department, r.started_at_us, r.ended_at_us, r.caller_number_norm, r.caller_name
         FROM (SELECT rowid AS place FROM names_trigrams WHERE names_trigrams MATCH ",
    );
    sql.bind_text(expression).push(" ORDER BY rowid DESC LIMIT ").bind_number(ALIKE);
    sql.push(
        ") AS n CROSS JOIN names AS m ON m.place = n.place CROSS JOIN recordings AS r ON r.id = m.id
         WHERE r.erased_at_us IS NULL",
    );
    sql
}

/// PostgreSQL, by the trigrams of the rows.
fn rows(words: &[Vec<String>], department: Option<&str>) -> Statement {
    let mut sql = Statement::new(JUDGED);
    for pieces in words {
        sql.push(" AND (FALSE");
        for piece in pieces {
            sql.push(" OR optag_trigrams(caller_name_folded) @> optag_trigrams(").bind_text(piece);
            sql.push(") AND caller_name_folded LIKE ").bind_text(format!("%{}%", escape(piece)));
            sql.push(" ESCAPE '\\'");
        }
        sql.push(")");
    }
    of_department(&mut sql, department);
    sql.push(" ORDER BY started_at_us DESC LIMIT ").bind_number(ALIKE);
    sql
}

fn of_department(sql: &mut Statement, department: Option<&str>) {
    if let Some(department) = department {
        sql.push(" AND department = ").bind_text(department);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_slip_keeps_one_of_its_pieces() {
        assert_eq!(pieces("Ada Lovelace"), [vec!["ada"], vec!["love", "lace"]]);
        assert_eq!(pieces("Kristensen"), [["kri", "ste", "nsen"]]);
        assert_eq!(pieces("bo"), Vec::<Vec<String>>::new());
        for (asked, known) in [
            ("Kristensen", "Christensen"),
            ("Sorensen", "Sørensen"),
            ("Lovlace", "Lovelace"),
            ("Müler", "Müller"),
            ("Petersen", "Pedersen"),
            ("Schmit", "Schmidt"),
            ("Vestergård", "Westergaard"),
            ("blixn", "Blixen"),
        ] {
            let known = fold(known);
            assert!(pieces(asked)[0].iter().any(|piece| known.contains(piece)), "{asked} / {known}");
        }
    }
}
