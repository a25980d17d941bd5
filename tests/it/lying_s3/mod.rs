//! Deliveries to a faulty S3: with each fault at each request nothing is lost, nothing is relied on that does not
//! exist, and nothing exists twice.

pub(crate) mod double;
mod erasing;
mod expiring;
mod health;
mod report;
mod rules;
mod shelf;
mod ways;

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use optag::config::{S3Config, StoreConfig};
use optag_core::call::Outcome;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_media::fact::{Ended, EndedBy, MediaBlock};
use optag_storage::archive::deliver::{DeliverError, Deliverer, Records, Source};
use optag_storage::archive::seal::day_keys::DayKeys;
use optag_storage::archive::vault::Vault;
use optag_storage::spool::MasterKey;
use optag_storage::spool::record::Body;
use optag_storage::store::names::{self, Kind};
use optag_storage::store::verified_put::{PART_BYTES, Part};
use optag_storage::store::{Store, StoreError};
use optag_testing::fixtures;

use crate::stores::s3_at;
use double::{Double, FAULTS, Fault};

/// Attempts within which a delivery must succeed once the store works.
const TRIES: usize = 6;

fn store(double: &Double) -> Store {
    Store::open(&StoreConfig::S3(config(double))).unwrap()
}

fn config(double: &Double) -> S3Config {
    S3Config { manage_lifecycle: false, ..s3_at(&double.endpoint, "bucket", ("key", "secret")) }
}

fn vault(store: Store, dir: &std::path::Path) -> Vault {
    let keys = DayKeys::open(dir, MasterKey::from_bytes(&[4; 32]).unwrap()).unwrap();
    Vault::new(store, Arc::new(keys), true, None)
}

/// A call of 100 ms, as from a spool.
fn call() -> (CallId, Source) {
    call_of(1, 40)
}

/// A call that is uploaded in parts.
fn long_call() -> (CallId, Source) {
    call_of(1_700, 1_000)
}

/// A call of this many blocks of 100 ms, with packets of this many bytes.
fn call_of(blocks: u32, packet: u16) -> (CallId, Source) {
    let at = WallTime::from_unix_micros(1_750_000_000_000_000);
    let id = CallId::new_at(at);
    let facts = fixtures::call_facts(id, at);
    let granted = fixtures::granted(at);
    let block = |n| MediaBlock {
        first_frame: 5 * n,
        form: Default::default(),
        streams: 1,
        lengths: vec![packet; 5],
        peaks: vec![9; 5],
        bytes: vec![8; 5 * usize::from(packet)],
    };
    let frames = 5 * blocks;
    let ended = Ended { at, by: EndedBy::Feed, outcome: Outcome::Recorded, frames, streams: vec![] };
    let mut bodies = vec![Body::Opened(facts), Body::Consent(granted)];
    bodies.extend((0..blocks).map(|n| Body::Media(block(n))));
    bodies.push(Body::Closed(ended));
    let records = move || Ok(Records::new(0, bodies.clone().into_iter().map(Ok)));
    (id, Source { records: Arc::new(records), secret: optag_core::locked::Secret::copy_of(&[6; 32]) })
}

/// A recorder whose store is the double; its own files are in `dir`.
pub(crate) async fn recorder(
    double: &Double,
    dir: &std::path::Path,
    ports: (u16, u16),
) -> crate::server::Server {
    let mut settings = crate::server::Settings::with_ports(ports);
    settings.extra = format!(
        "[store]\nkind = \"s3\"\nbucket = \"bucket\"\nendpoint = \"{}\"\nallow_http = true\n",
        double.endpoint
    );
    settings.env = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    crate::server::Server::start(dir, &settings).await
}

/// As [`admitted_and_ended`], until it can be played.
async fn recorded(server: &crate::server::Server) -> String {
    let id = admitted_and_ended(server).await;
    server.stored(&id).await;
    id
}

/// A call of a second and a half with consent. Its id.
async fn admitted_and_ended(server: &crate::server::Server) -> String {
    use crate::phone::{Leg, talk, voice};
    let request = crate::server::call_request("demo", "pcmu");
    let (_, admitted) = server.ask("POST", "/api/v1/calls", Some(request)).await;
    let id = admitted["id"].as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || {
        let mut legs = [Leg::new(&admitted, 0, 0, 7), Leg::new(&admitted, 1, 0, 8)];
        legs[0].key('1');
        talk(&mut legs, &[&voice(1, 1_500), &voice(2, 1_500)]);
    })
    .await
    .unwrap();
    server.ask("POST", &format!("/api/v1/calls/{id}/end"), None).await;
    id
}

/// Checks behind the store's back: both objects exist, can be opened, and are correct.
async fn is_whole(double: &Double, vault: &Vault, id: CallId, wanted: &[u8]) {
    let (total, audio) = vault.audio(id, None).await.unwrap();
    let audio: Vec<Bytes> = audio.try_collect().await.unwrap();
    assert_eq!((total, audio.concat().as_slice()), (wanted.len() as u64, wanted));
    assert_eq!(vault.manifest(id).await.unwrap().id(), id);
    let state = double.state.lock().unwrap();
    let names: Vec<_> = state.objects.keys().filter(|name| !name.starts_with(names::PROBE_PREFIX)).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(state.uploads.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_request_of_a_delivery_loses_nothing_and_doubles_nothing() {
    let keys = tempfile::tempdir().unwrap();
    // Without a fault: the number of requests, and the expected result.
    let double = Double::start().await;
    let (id, source) = call();
    let honest = vault(store(&double), keys.path());
    Deliverer::new(honest.clone()).deliver(&source).await.unwrap();
    let requests = double.state.lock().unwrap().requests;
    let wanted: Vec<Bytes> = honest.audio(id, None).await.unwrap().1.try_collect().await.unwrap();
    let wanted = wanted.concat();
    let objects = double.state.lock().unwrap().objects.clone();

    for fault in FAULTS {
        for n in 0..requests {
            let double = Double::start().await;
            let vault = vault(store(&double), keys.path());
            let deliverer = Deliverer::new(vault.clone());
            double.fail(n, fault);
            let mut tries = 0;
            // What a recorder does: retries until everything is confirmed.
            while let Err(error) = deliverer.deliver(&source).await {
                tries += 1;
                assert!(tries < TRIES, "{fault:?} at request {n}: {error}");
            }
            is_whole(&double, &vault, id, &wanted).await;
            // The same bytes as without a fault: a repeated attempt creates no other object.
            let there = double.state.lock().unwrap().objects.clone();
            let name = names::name(id, id.admitted_at(), Kind::Audio, true);
            assert_eq!(there.get(&name), objects.get(&name), "{fault:?} at request {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_goes_on_where_a_fault_stopped_it() {
    let content = Bytes::from((0..PART_BYTES + 99_999).map(|n| (n / 997) as u8).collect::<Vec<_>>());
    let put = |store: Store| {
        let content = content.clone();
        async move {
            let (to, parts) = tokio::sync::mpsc::channel(1);
            let cut = content.clone();
            tokio::spawn(async move {
                for from in (0..cut.len()).step_by(PART_BYTES) {
                    let bytes = cut.slice(from..cut.len().min(from + PART_BYTES));
                    let _ = to.send(Part { bytes, room: None }).await;
                }
            });
            store.put_parts("recordings/2026/11/24/long", parts).await
        }
    };
    let honest = Double::start().await;
    put(store(&honest)).await.unwrap();
    let requests = honest.state.lock().unwrap().requests;
    let faults = [
        Fault::InternalError,
        Fault::ErrorIn200,
        Fault::ResetInRequest,
        Fault::LostResponse,
        Fault::WrongEtag,
        Fault::StoresHalf,
        Fault::TruncatedRead,
    ];
    // Megabytes each: a third of all pairs, or all with OPTAG_TEST_LONG=1.
    let long = std::env::var("OPTAG_TEST_LONG").is_ok();
    for (row, fault) in faults.into_iter().enumerate() {
        for n in (0..requests).filter(|n| long || (n + row).is_multiple_of(3)) {
            let double = Double::start().await;
            double.fail(n, fault);
            let mut tries = 0;
            // Each attempt is a new client, as after a crash: only what the store knows is resumed.
            while let Err(error) = put(store(&double)).await {
                tries += 1;
                assert!(tries < TRIES, "{fault:?} at request {n}: {error}");
            }
            let state = double.state.lock().unwrap();
            assert!(state.objects["recordings/2026/11/24/long"] == content, "{fault:?} at request {n}");
            assert!(state.uploads.is_empty(), "{fault:?} at request {n}: an upload is left");
        }
    }
    // The second part fails until the client gives up; the next client sends only that part.
    let double = Double::start().await;
    // Afterwards: completion, reading back, and a search for other uploads.
    let before_second_part = requests - 4;
    double.fail(before_second_part, Fault::ClockSkew);
    assert!(put(store(&double)).await.is_err());
    let sent = double.state.lock().unwrap().parts;
    put(store(&double)).await.unwrap();
    assert_eq!((sent, double.state.lock().unwrap().parts), (1, 2), "a part was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_503_ends_in_one_delivery() {
    let keys = tempfile::tempdir().unwrap();
    let double = Double::start().await;
    let vault = vault(store(&double), keys.path());
    let deliverer = Deliverer::new(vault.clone());
    let (id, source) = call();
    double.storm(60);
    let mut tries = 0;
    let manifest = loop {
        match deliverer.deliver(&source).await {
            Ok(manifest) => break manifest,
            Err(_) => tries += 1,
        }
        assert!(tries < 100);
    };
    assert!(tries > 5, "there was no storm");
    assert_eq!(vault.manifest(id).await.unwrap().audio_sha256, manifest.audio_sha256);
    let state = double.state.lock().unwrap();
    let ours = state.created.iter().filter(|name| !name.starts_with(names::PROBE_PREFIX)).count();
    assert_eq!(ours, 2, "{:?}", state.created);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_deliver_one_recording_make_one() {
    let keys = tempfile::tempdir().unwrap();
    let double = Double::start().await;
    let (id, source) = call();
    let nodes: Vec<_> = (0..4).map(|_| vault(store(&double), keys.path())).collect();
    let deliveries = nodes.iter().map(|vault| {
        let (deliverer, source) = (Deliverer::new(vault.clone()), source.clone());
        tokio::spawn(async move { deliverer.deliver(&source).await })
    });
    for delivered in futures::future::join_all(deliveries).await {
        delivered.unwrap().unwrap();
    }
    let state = double.state.lock().unwrap();
    let ours: Vec<_> = state.created.iter().filter(|name| !name.starts_with(names::PROBE_PREFIX)).collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    assert!(ours.iter().all(|name| names::parse(name).is_some_and(|(found, _)| found == id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_node_had_stored_and_not_noted_is_the_same_object_for_whoever_delivers_its_spool() {
    let (keys, double) = (tempfile::tempdir().unwrap(), Double::start().await);
    let open = |name: &str| vault(store(&double), &keys.path().join(name));
    let (lost, other, stranger) = (open("lost"), open("other"), open("stranger"));
    for (_, source) in [call(), long_call()] {
        let first = Deliverer::new(lost.clone()).deliver(&source).await.unwrap();
        // Without its day key nobody can tell what is there.
        let refused = Deliverer::new(stranger.clone()).deliver(&source).await;
        assert!(matches!(refused, Err(DeliverError::Store(StoreError::Conflict))), "{refused:?}");
        for key in lost.keys().list().unwrap() {
            other.keys().bring_in(key.day, lost.keys().identity(&key).unwrap(), WallTime::default()).unwrap();
        }
        let again = Deliverer::new(other.clone()).deliver(&source).await.unwrap();
        assert_eq!(again.object, first.object);
        let needed = other.keys().list().unwrap().iter().map(|key| key.needed_until).min();
        assert_eq!(needed, Some(first.expires_at), "the key stays as long as the recording");
        // The same where a key was rotated between two attempts.
        lost.keys().rotate(names::day(first.call.started_at), first.expires_at).unwrap();
        let again = Deliverer::new(lost.clone()).deliver(&source).await.unwrap();
        assert_eq!(again.object, first.object);
    }
    let state = double.state.lock().unwrap();
    let ours: Vec<_> = state.created.iter().filter(|name| !name.starts_with(names::PROBE_PREFIX)).collect();
    assert_eq!(ours.len(), 4, "{ours:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_overwrites_is_found_out_and_never_made_to() {
    let double = Double::start().await;
    double.state.lock().unwrap().overwrites = true;
    let store = store(&double);
    assert!(!store.creates().await.unwrap());
    store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap();
    store.put_small("recordings/a", Bytes::from_static(b"one")).await.unwrap();
    let other = store.put_small("recordings/a", Bytes::from_static(b"two")).await;
    assert!(matches!(other, Err(StoreError::Conflict)), "{other:?}");
    assert_eq!(double.state.lock().unwrap().objects["recordings/a"], "one");
}
