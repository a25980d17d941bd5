//! Where a delivery was stored: place, names and versions. Erasures look for exactly these. No personal data.

use sqlx::Row;

use super::{Index, IndexError};
use optag_core::id::CallId;
use optag_storage::store::remains::{Stored, StoredObject};

/// Maximum number of uploads kept per recording; listing the store finds others.
const UPLOADS: usize = 64;

impl Index {
    /// Records what a delivery left in the store and replaces an earlier record. Uploads noted as begun are kept,
    /// since some may not have ended.
    ///
    /// Errors: not durable.
    pub async fn put_delivered(&self, id: CallId, stored: &Stored) -> Result<(), IndexError> {
        let mut stored = stored.clone();
        let known = self.stored(id).await?.filter(|known| known.place == stored.place).unwrap_or_default();
        let ended: Vec<String> = stored.objects.iter().filter_map(|one| one.upload.clone()).collect();
        let begun = known.objects.into_iter().filter(|one| {
            one.version.is_none() && one.upload.as_ref().is_some_and(|upload| !ended.contains(upload))
        });
        stored.objects.extend(begun);
        self.put_stored(id, &stored).await
    }

    async fn put_stored(&self, id: CallId, stored: &Stored) -> Result<(), IndexError> {
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

    /// Notes that a multipart upload begins, beside what is already known of the same store.
    ///
    /// Errors: not durable.
    pub async fn note_upload(&self, id: CallId, place: &str, object: StoredObject) -> Result<(), IndexError> {
        let mut stored = self.stored(id).await?.filter(|stored| stored.place == place).unwrap_or_default();
        if stored.objects.contains(&object) {
            return Ok(());
        }
        stored.objects.drain(..stored.objects.len().saturating_sub(UPLOADS - 1));
        place.clone_into(&mut stored.place);
        stored.objects.push(object);
        self.put_stored(id, &stored).await
    }

    /// What a recording's delivery left in the store, if recorded.
    ///
    /// Errors: index unavailable.
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

    /// Removes the record, once nothing of the delivery is left.
    ///
    /// Errors: not durable.
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
            index.put_delivered(id, &stored(version)).await.unwrap();
            assert_eq!(index.stored(id).await.unwrap(), Some(stored(version)));
        }
        index.forget_stored(id).await.unwrap();
        assert_eq!(index.stored(id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn uploads_that_began_are_known_before_and_after_the_delivery() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&IndexPlace::Sqlite(dir.path().join("index.sqlite")), "45").await.unwrap();
        let id = CallId::from_bytes([9; 16]);
        let upload = |upload: &str| StoredObject {
            name: "a.opus".into(),
            version: None,
            upload: Some(upload.to_owned()),
        };
        for name in ["one", "two", "two"] {
            index.note_upload(id, "here", upload(name)).await.unwrap();
        }
        let known = index.stored(id).await.unwrap().unwrap();
        assert_eq!(known, Stored { place: "here".into(), objects: vec![upload("one"), upload("two")] });
        let finished = StoredObject { version: Some("v".into()), ..upload("two") };
        let delivered = Stored { place: "here".into(), objects: vec![finished.clone()] };
        index.put_delivered(id, &delivered).await.unwrap();
        assert_eq!(index.stored(id).await.unwrap().unwrap().objects, [finished, upload("one")]);
        for n in 0..2 * UPLOADS {
            index.note_upload(id, "here", upload(&n.to_string())).await.unwrap();
        }
        assert_eq!(index.stored(id).await.unwrap().unwrap().objects.len(), UPLOADS);
        index.note_upload(id, "elsewhere", upload("one")).await.unwrap();
        assert_eq!(index.stored(id).await.unwrap().unwrap().objects.len(), 1);
    }
}
