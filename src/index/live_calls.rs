//! Calls in progress of all nodes by the hashes of their identifiers. In: admissions and ends, of a node each. Out: the
//! node that has a call.

use std::collections::HashSet;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::statement::Statement;
use super::{Index, IndexError, id_of};
use optag_core::id::CallId;

/// Rows written by one statement.
const TOGETHER: usize = 500;
/// The name of a call that is known by its id alone.
const BY_ID: &str = "";

impl Index {
    /// Enters calls of `node` by the hashes of their identifiers, and by their ids. What is there already stays.
    ///
    /// Errors: it is not durable.
    pub async fn name_calls(&self, node: u16, calls: &[(CallId, Vec<String>)]) -> Result<(), IndexError> {
        let rows: Vec<(&str, CallId)> = calls
            .iter()
            .flat_map(|(call, names)| {
                let names: HashSet<&str> = names.iter().map(String::as_str).chain([BY_ID]).collect();
                names.into_iter().map(|name| (name, *call))
            })
            .collect();
        for rows in rows.chunks(TOGETHER) {
            let mut insert = Statement::new("INSERT INTO live_calls (name, call, node) VALUES ");
            for (at, (name, call)) in rows.iter().enumerate() {
                insert.push(if at == 0 { "(" } else { ", (" }).bind_text(*name).push(", ");
                insert.bind_text(call.to_string()).push(", ").bind_number(node.into()).push(")");
            }
            insert.push(" ON CONFLICT (name, call) DO UPDATE SET node = excluded.node");
            insert.query().execute(&self.database.control).await?;
        }
        Ok(())
    }

    /// Takes calls out that are over.
    ///
    /// Errors: it is not durable.
    pub async fn unname_calls(&self, calls: &[CallId]) -> Result<(), IndexError> {
        for calls in calls.chunks(TOGETHER) {
            let mut delete = Statement::new("DELETE FROM live_calls WHERE call IN (");
            delete.bind_list(calls.iter().map(CallId::to_string)).push(")");
            delete.query().execute(&self.database.control).await?;
        }
        Ok(())
    }

    /// The calls that `node` has, as it entered them.
    ///
    /// Errors: the index does not answer.
    pub async fn calls_of_node(&self, node: u16) -> Result<Vec<CallId>, IndexError> {
        let rows = sqlx::query("SELECT call AS id FROM live_calls WHERE node = $1 AND name = ''");
        let rows = rows.bind(i64::from(node)).fetch_all(&self.database.control).await?;
        Ok(rows.iter().map(id_of).collect::<Result<_, _>>()?)
    }

    /// The node that has a call in progress.
    ///
    /// Errors: the index does not answer.
    pub async fn node_of_call(&self, call: CallId) -> Result<Option<u16>, IndexError> {
        let row = sqlx::query("SELECT node FROM live_calls WHERE name = '' AND call = $1");
        let row = row.bind(call.to_string()).fetch_optional(&self.database.control).await?;
        Ok(row.as_ref().map(node_of).transpose()?)
    }

    /// The nodes that have a call in progress with one of these hashes.
    ///
    /// Errors: the index does not answer.
    pub async fn nodes_of_names(&self, names: &[String]) -> Result<Vec<u16>, IndexError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut select = Statement::new("SELECT DISTINCT node FROM live_calls WHERE name IN (");
        select.bind_list(names.iter().cloned()).push(") ORDER BY node");
        let rows = select.query().fetch_all(&self.database.control).await?;
        Ok(rows.iter().map(node_of).collect::<Result<_, _>>()?)
    }
}

fn node_of(row: &AnyRow) -> Result<u16, sqlx::Error> {
    u16::try_from(row.try_get::<i64, _>("node")?).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
