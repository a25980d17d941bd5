//! How the store named what was delivered: where, under which names, in which versions. Erasures
//! look for exactly that. Nothing personal.

use sqlx::Row;

use super::{Index, IndexError};
use crate::archive::looking::Stored;
use crate::base::id::CallId;

impl Index {
    /// Keeps what a delivery left in the store; a later delivery of the same takes its place.
    ///
    /// Errors: it is not durable.
    pub async fn put_stored(&self, id: CallId, stored: &Stored) -> Result<(), IndexError> {
        let objects = serde_json::to_string(&stored.objects).unwrap_or_default();
        sqlx::query(
            "INSERT INTO stored (id, place, objects) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET place = excluded.place, objects = excluded.objects",
        )
        .bind(id.to_string())
        .bind(&stored.place)
        .bind(objects)
        .execute(&self.database.pool)
        .await?;
        Ok(())
    }

    /// What a recording's delivery left in the store, if that was kept.
    ///
    /// Errors: the index does not answer.
    pub async fn stored(&self, id: CallId) -> Result<Option<Stored>, IndexError> {
        let row = sqlx::query("SELECT place, objects FROM stored WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.database.pool)
            .await?;
        let read = |row: sqlx::any::AnyRow| -> Result<Stored, sqlx::Error> {
            let objects = serde_json::from_str(&row.try_get::<String, _>("objects")?);
            let objects = objects.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(Stored { place: row.try_get("place")?, objects })
        };
        Ok(row.map(read).transpose()?)
    }

    /// Forgets it, once nothing of it is left.
    ///
    /// Errors: it is not durable.
    pub async fn forget_stored(&self, id: CallId) -> Result<(), IndexError> {
        sqlx::query("DELETE FROM stored WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.database.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::looking::StoredObject;
    use crate::index::IndexPlace;

    #[tokio::test]
    async fn what_a_delivery_left_is_known_until_it_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("index.sqlite")), "45").await.unwrap();
        let id = CallId::from_bytes([9; 16]);
        assert_eq!(index.stored(id).await.unwrap(), None);
        let stored = |version: &str| Stored {
            place: "https://s3.example/calls".into(),
            objects: vec![
                StoredObject {
                    name: "a.opus".into(),
                    version: Some(version.into()),
                    upload: Some("u".into()),
                },
                StoredObject { name: "a.json".into(), version: None, upload: None },
            ],
        };
        for version in ["v1", "v2"] {
            index.put_stored(id, &stored(version)).await.unwrap();
            assert_eq!(index.stored(id).await.unwrap(), Some(stored(version)));
        }
        index.forget_stored(id).await.unwrap();
        assert_eq!(index.stored(id).await.unwrap(), None);
    }
}
