//! A directory as a store, whose file system is not mounted: an empty directory is in its place.

use crate::server::{Server, Settings, files_below};
use crate::watching::call;

#[tokio::test(flavor = "multi_thread")]
async fn invariant_04_nothing_is_stored_in_the_place_of_a_store_that_is_not_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::with_ports((24_300, 24_390));
    let server = Server::start(dir.path(), &settings).await;
    let before = call(&server, 0).await;
    server.stored(&before).await;
    server.terminate();

    let (store, disk) = (dir.path().join("data/store"), dir.path().join("data/disk"));
    std::fs::rename(&store, &disk).unwrap();
    std::fs::create_dir(&store).unwrap();
    let server = Server::start(dir.path(), &settings).await;
    server.logs("is its file system mounted?").await;
    assert_eq!(server.metric("optag_store_up", "").await, 0.0);
    let (_, page) = server.health("/readyz").await;
    assert!(page.contains("is its file system mounted?"), "{page}");
    let meanwhile = call(&server, 0).await;
    server.metric_reaches("optag_upload_failures_total", 1.0).await;
    assert!(files_below(&store).is_empty());

    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&disk, &store).unwrap();
    server.stored(&meanwhile).await;
    for id in [before, meanwhile] {
        let audio =
            server.bytes(&format!("/api/v1/recordings/{id}/audio?format=opus&purpose=training")).await;
        assert!(audio.starts_with(b"OggS"));
    }
}
