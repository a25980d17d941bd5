//! Builds statements. In: SQL text of this program, and values from outside. Out: a query with bound values; no value
//! becomes part of its text.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// A statement under construction, with its bound values.
#[derive(Debug)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

#[derive(Clone, Debug)]
enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

impl Statement {
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(super) fn bind_text(&mut self, text: impl Into<String>) -> &mut Self {
        self.bind(Value::Text(Some(storable(text.into()))))
    }

    /// A text, or null.
    pub(super) fn bind_optional(&mut self, text: Option<String>) -> &mut Self {
        self.bind(Value::Text(text.map(storable)))
    }

    pub(super) fn bind_number(&mut self, number: i64) -> &mut Self {
        self.bind(Value::Number(Some(number)))
    }

    /// A number, or null.
    pub(super) fn bind_optional_number(&mut self, number: Option<i64>) -> &mut Self {
        self.bind(Value::Number(number))
    }

    /// Texts with commas between; the list must not be empty.
    pub(super) fn bind_list(&mut self, texts: impl Iterator<Item = String>) -> &mut Self {
        for (at, text) in texts.enumerate() {
            self.push(if at == 0 { "" } else { ", " }).bind_text(text);
        }
        self
    }

    fn bind(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        self.sql.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Finishes the statement.
    pub(super) fn query(self) -> Query<'static, Any, AnyArguments> {
        // Only SQL text of this program is pushed; values from outside are bound.
        let query = sqlx::query(AssertSqlSafe(self.sql));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    }
}

/// Makes a text storable in every database: PostgreSQL rejects U+0000.
pub(super) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
