//! Announced calls, recorded or not: `optag assurance` compares them with the PBX's own records. In: [`AnnouncedCall`]s.
//! Out: rows of a day.
//!
//! Numbers and names are kept only as keyed hashes: enough to find a call that another list names, too little to tell
//! whose it was. The erasure of a recording removes the hashes at once; the row goes with the retention limit at the
//! latest.

use aws_lc_rs::hmac;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Index, IndexError, IndexRow, read};
use optag_core::call::context::name_keys;
use optag_core::call::number::normalise;
use optag_core::call::{AnnouncedCall, RefusedStreams, Unrecorded};
use optag_core::clock::WallTime;
use optag_core::hex::hex;
use optag_core::id::CallId;

/// Length of a keyed hash: enough to tell a day's calls apart. Units: bytes.
const HASH_BYTES: usize = 12;

/// Computes keyed hashes of numbers and names.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    key: hmac::Key,
    /// The key of this data directory alone, which earlier versions hashed under.
    former: Option<hmac::Key>,
    country_code: String,
}

/// An announced call, as indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedCallRow {
    /// Id of the announced call.
    pub id: String,
    /// When the call was announced.
    pub began_at: WallTime,
    /// When its signalling ended; none while it continues, or where the recorder died.
    pub ended_at: Option<WallTime>,
    /// Address of the recording client, or `api`.
    pub client: String,
    /// Department id; empty if none matched.
    pub department: String,
    /// The call, if it was admitted.
    pub call: Option<CallId>,
    /// Outcome and cause, if they are not the admitted call's.
    pub outcome: Option<(String, String)>,
    /// Keyed hash of the number called from.
    pub caller: Option<String>,
    /// Keyed hash of the number called.
    pub called: Option<String>,
    /// Keyed hashes of the call's names.
    pub names: Vec<String>,
    /// Audio streams that were offered and are not recorded.
    pub refused_streams: RefusedStreams,
}

impl Pseudonyms {
    /// Uses `key` for all hashes.
    pub fn new(key: &[u8; 32], country_code: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, former: None, country_code: country_code.to_owned() }
    }

    /// The same, which also recognises what was hashed under `former`.
    #[must_use]
    pub fn recognising(self, former: &[u8; 32]) -> Self {
        Self { former: Some(hmac::Key::new(hmac::HMAC_SHA256, former)), ..self }
    }

    /// Hash of a number in any spelling; none for text that is not a number.
    pub fn number(&self, written: &str) -> Option<String> {
        self.all_numbers(written).into_iter().next()
    }

    /// Hashes by which a number may be known, the current one first; none for text that is not a number.
    pub fn all_numbers(&self, written: &str) -> Vec<String> {
        let number = normalise(written, &self.country_code);
        number.map(|number| self.all("number", &number).collect()).unwrap_or_default()
    }

    /// Hashes of an identifier of the call, for example a Call-ID.
    pub fn names(&self, name: &str) -> Vec<String> {
        name_keys(name).iter().map(|key| hash(&self.key, "name", key)).collect()
    }

    /// Hashes by which an identifier may be known.
    pub fn all_names(&self, name: &str) -> Vec<String> {
        name_keys(name).iter().flat_map(|key| self.all("name", key)).collect()
    }

    fn all(&self, kind: &'static str, text: &str) -> impl Iterator<Item = String> {
        [Some(&self.key), self.former.as_ref()].into_iter().flatten().map(move |key| hash(key, kind, text))
    }
}

fn hash(key: &hmac::Key, kind: &str, text: &str) -> String {
    let tag = hmac::sign(key, format!("{kind} {text}").as_bytes());
    hex(&tag.as_ref()[..HASH_BYTES])
}

impl Index {
    /// Writes announced calls in one transaction. A later entry with the same id completes the earlier one.
    ///
    /// Errors: not durable.
    pub async fn put_announced_calls(
        &self,
        calls: &[AnnouncedCall],
        by: &Pseudonyms,
    ) -> Result<(), IndexError> {
        let mut transaction = self.database.pool.begin().await?;
        for announced in calls {
            let mut names: Vec<String> =
                announced.names.iter().flat_map(|name| by.names(name.reveal())).collect();
            names.sort();
            names.dedup();
            let (outcome, cause) = announced.unrecorded.map(Unrecorded::outcome).unzip();
            sqlx::query(
                "INSERT INTO sessions (id, began_at_us, ended_at_us, client, department, call, outcome, cause,
                     caller_hash, called_hash, name_hashes, refused_streams)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO UPDATE SET
                     ended_at_us = COALESCE(excluded.ended_at_us, sessions.ended_at_us),
                     department = excluded.department, call = COALESCE(excluded.call, sessions.call),
                     outcome = COALESCE(excluded.outcome, sessions.outcome),
                     cause = COALESCE(excluded.cause, sessions.cause),
                     refused_streams = excluded.refused_streams,
                     caller_hash = CASE WHEN sessions.erased = 1 THEN NULL ELSE excluded.caller_hash END,
                     called_hash = CASE WHEN sessions.erased = 1 THEN NULL ELSE excluded.called_hash END,
                     name_hashes = CASE WHEN sessions.erased = 1 THEN '' ELSE excluded.name_hashes END",
            )
            .bind(&announced.id)
            .bind(announced.began_at.as_unix_micros())
            .bind(announced.ended_at.map(WallTime::as_unix_micros))
            .bind(&announced.client)
            .bind(&announced.department)
            .bind(announced.call.map(|id| id.to_string()))
            .bind(outcome)
            .bind(cause)
            .bind(by.number(announced.caller_number.reveal()))
            .bind(by.number(announced.called_number.reveal()))
            .bind(names.join(" "))
            .bind(announced.refused_streams.to_text())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Adds streams that were refused when they asked to join a call to the call's entry: the first one, where several
    /// announced it.
    ///
    /// Errors: not durable.
    pub async fn add_refused_streams(&self, call: CallId, refused: RefusedStreams) -> Result<(), IndexError> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query(
            "SELECT id, refused_joins FROM sessions WHERE call = $1 ORDER BY began_at_us, id LIMIT 1",
        );
        if let Some(row) = row.bind(call.to_string()).fetch_optional(&mut *transaction).await? {
            let known = RefusedStreams::from_text(&row.try_get::<String, _>("refused_joins")?);
            sqlx::query("UPDATE sessions SET refused_joins = $1 WHERE id = $2")
                .bind(known.and(refused).to_text())
                .bind(row.try_get::<String, _>("id")?)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Calls announced in `from..to`, in order of time.
    ///
    /// Errors: index unavailable.
    pub async fn announced_calls(
        &self,
        from: WallTime,
        to: WallTime,
    ) -> Result<Vec<AnnouncedCallRow>, IndexError> {
        let rows = sqlx::query(
            "SELECT * FROM sessions WHERE began_at_us >= $1 AND began_at_us < $2 ORDER BY began_at_us, id",
        );
        let rows = rows
            .bind(from.as_unix_micros())
            .bind(to.as_unix_micros())
            .fetch_all(&self.database.readers)
            .await?;
        Ok(rows.iter().map(session).collect::<Result<_, _>>()?)
    }

    /// Outcomes of calls admitted in `from..to`: id, department, outcome, cause.
    ///
    /// Errors: index unavailable.
    pub async fn outcomes(
        &self,
        from: WallTime,
        to: WallTime,
    ) -> Result<Vec<(CallId, String, String, String)>, IndexError> {
        let rows = sqlx::query(
            "SELECT id, department, outcome, cause FROM calls
             WHERE started_at_us >= $1 AND started_at_us < $2 ORDER BY started_at_us",
        );
        let rows = rows
            .bind(from.as_unix_micros())
            .bind(to.as_unix_micros())
            .fetch_all(&self.database.readers)
            .await?;
        let one = |row: &AnyRow| {
            let text = |column: &str| row.try_get::<String, _>(column);
            Ok((super::id_of(row)?, text("department")?, text("outcome")?, text("cause")?))
        };
        Ok(rows.iter().map(one).collect::<Result<_, sqlx::Error>>()?)
    }

    /// Recordings of calls admitted in `from..to`, erased ones included.
    ///
    /// Errors: index unavailable.
    pub async fn recordings(&self, from: WallTime, to: WallTime) -> Result<Vec<IndexRow>, IndexError> {
        let rows = sqlx::query(
            "SELECT * FROM recordings WHERE started_at_us >= $1 AND started_at_us < $2 ORDER BY started_at_us",
        );
        let rows = rows
            .bind(from.as_unix_micros())
            .bind(to.as_unix_micros())
            .fetch_all(&self.database.readers)
            .await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Removes entries of calls announced before `before`.
    ///
    /// Errors: index unavailable.
    pub async fn remove_announced_calls(&self, before: WallTime) -> Result<u64, IndexError> {
        let gone = sqlx::query("DELETE FROM sessions WHERE began_at_us < $1");
        Ok(gone.bind(before.as_unix_micros()).execute(&self.database.pool).await?.rows_affected())
    }
}

fn session(row: &AnyRow) -> Result<AnnouncedCallRow, sqlx::Error> {
    let call: Option<String> = row.try_get("call")?;
    let call = call.map(|text| text.parse()).transpose();
    let outcome: Option<String> = row.try_get("outcome")?;
    let cause: Option<String> = row.try_get("cause")?;
    let names: String = row.try_get("name_hashes")?;
    let refused =
        |column: &str| row.try_get::<String, _>(column).map(|text| RefusedStreams::from_text(&text));
    Ok(AnnouncedCallRow {
        id: row.try_get("id")?,
        began_at: WallTime::from_unix_micros(row.try_get("began_at_us")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at_us")?.map(WallTime::from_unix_micros),
        client: row.try_get("client")?,
        department: row.try_get("department")?,
        call: call.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        outcome: outcome.map(|outcome| (outcome, cause.unwrap_or_default())),
        caller: row.try_get("caller_hash")?,
        called: row.try_get("called_hash")?,
        names: names.split_whitespace().map(str::to_owned).collect(),
        refused_streams: refused("refused_streams")?.and(refused("refused_joins")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::IndexPlace;

    fn announced(id: &str, call: Option<CallId>) -> AnnouncedCall {
        AnnouncedCall {
            id: id.into(),
            began_at: WallTime::from_unix_micros(5_000_000),
            ended_at: None,
            client: "192.0.2.1".into(),
            department: "tax".into(),
            caller_number: "+45 88 88 88 88".to_owned().into(),
            called_number: "70102030".to_owned().into(),
            names: vec!["abc@pbx".to_owned().into()],
            call,
            unrecorded: None,
            refused_streams: RefusedStreams { no_codec: 1, ..RefusedStreams::default() },
        }
    }

    #[tokio::test]
    async fn an_account_is_completed_and_loses_its_hashes_with_the_erasure() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("i")), "45").await.unwrap();
        let by = Pseudonyms::new(&[7; 32], "45");
        let id = CallId::new_at(WallTime::from_unix_micros(5_000_000));
        index.put_announced_calls(&[announced("a", Some(id)), announced("b", None)], &by).await.unwrap();
        let later = AnnouncedCall {
            ended_at: Some(WallTime::from_unix_micros(9_000_000)),
            unrecorded: Some(Unrecorded::Unavailable("draining")),
            ..announced("b", None)
        };
        index.put_announced_calls(&[later, announced("a", None)], &by).await.unwrap();
        let day = (WallTime::from_unix_micros(0), WallTime::from_unix_micros(10_000_000));
        let rows = index.announced_calls(day.0, day.1).await.unwrap();
        assert_eq!(rows[0].call, Some(id), "a later entry without a call keeps the earlier entry's call");
        assert_eq!(rows[0].caller, by.number("88888888"));
        assert_eq!(rows[0].names, by.names("ABC@pbx"));
        assert_eq!(rows[0].refused_streams, announced("a", None).refused_streams);
        assert_eq!(rows[1].outcome, Some(("lost".into(), "draining".into())));
        assert!(rows[1].ended_at.is_some());

        index.mark_erased(id, day.1).await.unwrap();
        index.put_announced_calls(&[announced("a", Some(id))], &by).await.unwrap();
        let row = index.announced_calls(day.0, day.1).await.unwrap().remove(0);
        assert_eq!((row.caller, row.called, row.names), (None, None, vec![]));
        assert_eq!(index.remove_announced_calls(day.1).await.unwrap(), 2);
    }
}
