//! The departments that a right covers, and their condition in SQL.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::statement::Statement;
use super::{Index, IndexError, id_of};
use optag_core::id::CallId;

/// The word for all departments, also those that are configured later.
const ALL: &str = "all";
/// Ids looked up by one statement.
const TOGETHER: usize = 500;

/// Departments by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Departments {
    /// All, also those that are configured later.
    #[default]
    All,
    /// These. None of them: nothing is covered.
    Only(BTreeSet<String>),
}

/// As written in files and between nodes: `"all"`, or a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Word(String),
    List(BTreeSet<String>),
}

impl TryFrom<Written> for Departments {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == ALL => Ok(Self::All),
            Written::Word(word) => Err(format!("departments: \"{ALL}\" or a list, not \"{word}\"")),
            Written::List(ids) => Ok(Self::Only(ids)),
        }
    }
}

impl From<Departments> for Written {
    fn from(departments: Departments) -> Self {
        match departments {
            Departments::All => Self::Word(ALL.to_owned()),
            Departments::Only(ids) => Self::List(ids),
        }
    }
}

impl Departments {
    /// These, by id.
    pub fn only<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::Only(ids.into_iter().map(Into::into).collect())
    }

    /// Whether all are covered.
    pub fn are_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether a department is among them.
    pub fn cover(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }

    /// Those of both.
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, both) | (both, Self::All) => both.clone(),
            (Self::Only(one), Self::Only(other)) => Self::Only(one & other),
        }
    }

    /// Narrows a search to a department, if one is given: the single department that is left, or those that are.
    /// `None`: none is left.
    pub(super) fn narrow(&self, department: Option<String>) -> Option<(Option<String>, Self)> {
        match (self, department) {
            (Self::All, department) => Some((department, Self::All)),
            (_, Some(department)) => self.cover(&department).then_some((Some(department), Self::All)),
            (Self::Only(ids), None) => match ids.len() {
                0 => None,
                1 => Some((ids.first().cloned(), Self::All)),
                _ => Some((None, self.clone())),
            },
        }
    }

    /// Adds the condition that a column is one of them.
    pub(super) fn push(&self, sql: &mut Statement, column: &str) {
        if let Self::Only(ids) = self {
            // An empty list is no valid SQL.
            let ids = if ids.is_empty() { BTreeSet::from([String::new()]) } else { ids.clone() };
            sql.push(&format!(" AND {column} IN (")).bind_list(ids.into_iter()).push(")");
        }
    }
}

impl std::fmt::Display for Departments {
    /// `all`, or the ids with commas between.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Only(ids) => f.write_str(&ids.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// Which of some ids the index knows, and which of those are of given departments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Ids of these departments.
    pub covered: BTreeSet<CallId>,
    /// Ids that the index has, of any department.
    pub known: BTreeSet<CallId>,
}

impl Index {
    /// Of these calls, those of the departments: by the recording where there is one, erased ones included, else by the
    /// outcome of the call.
    ///
    /// Errors: index unavailable.
    pub async fn within(&self, ids: &[CallId], departments: &Departments) -> Result<Within, IndexError> {
        let mut found = Within::default();
        for ids in ids.chunks(TOGETHER) {
            found.known.extend(self.of_departments(ids, &Departments::All).await?);
            found.covered.extend(self.of_departments(ids, departments).await?);
        }
        Ok(found)
    }

    async fn of_departments(
        &self,
        ids: &[CallId],
        departments: &Departments,
    ) -> Result<Vec<CallId>, IndexError> {
        let mut sql = Statement::new("SELECT id FROM recordings WHERE id IN (");
        sql.bind_list(ids.iter().map(CallId::to_string)).push(")");
        departments.push(&mut sql, "department");
        sql.push(" UNION SELECT id FROM calls AS c WHERE id IN (");
        sql.bind_list(ids.iter().map(CallId::to_string)).push(")");
        departments.push(&mut sql, "department");
        sql.push(" AND NOT EXISTS (SELECT 1 FROM recordings AS r WHERE r.id = c.id)");
        let rows = sql.query().fetch_all(&self.database.readers).await?;
        Ok(rows.iter().map(id_of).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_said_by_a_word_and_some_by_a_list() {
        let read = |text: &str| serde_json::from_str::<Departments>(text).ok();
        assert_eq!(read("\"all\""), Some(Departments::All));
        assert_eq!(read("[\"tax\",\"care\"]"), Some(Departments::only(["care", "tax"])));
        assert_eq!(read("[]"), Some(Departments::only::<&str>([])));
        for wrong in ["\"tax\"", "\"\"", "null", "{}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        for departments in [Departments::All, Departments::only(["care", "tax"])] {
            assert_eq!(read(&serde_json::to_string(&departments).unwrap()), Some(departments));
        }
    }

    #[test]
    fn a_search_is_narrowed_to_what_is_covered_and_nothing_else() {
        let (some, none) = (Departments::only(["a", "b"]), Departments::only::<&str>([]));
        assert_eq!(some.narrow(Some("a".into())), Some((Some("a".into()), Departments::All)));
        assert_eq!(some.narrow(Some("c".into())), None);
        assert_eq!(some.narrow(None), Some((None, some.clone())));
        assert_eq!(Departments::only(["a"]).narrow(None), Some((Some("a".into()), Departments::All)));
        assert_eq!(none.narrow(None), None);
        assert!(!none.cover("") && !none.cover("a") && Departments::All.cover("a"));
        assert_eq!(some.and(&Departments::only(["b", "c"])), Departments::only(["b"]));
        assert_eq!(some.and(&Departments::All), some);
    }
}
