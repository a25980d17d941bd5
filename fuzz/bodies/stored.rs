//! What must hold for anything that a store gives back in place of what was written: it is refused, or it is
//! what was written. The first byte chooses which kind of file the others are taken for.

use std::path::PathBuf;

use optag_core::clock::WallTime;
use optag_core::locked::Secret;
use optag_core::signing::{Signed, Signer};
use optag_media::fact::StreamIndex;
use optag_storage::archive::manifest::{Manifest, coalesce};
use optag_storage::archive::seal::SealError;
use optag_storage::archive::seal::day_keys::DayKeys;
use optag_storage::archive::seal::head::{self, FileKey, HEAD_BYTES};
use optag_storage::archive::seal::identity::Identity;
use optag_storage::archive::seal::stream::{CHUNK_BYTES, Opener, Sealer, covering, plain_bytes};
use optag_storage::archive::stream_verdict::judge;
use optag_storage::spool::MasterKey;
use optag_storage::store::names;
use optag_storage::store::s3::rules::Rules;

/// The kind of a signed document.
const KIND: &str = "audit-checkpoint";

/// Reads a file of the kind that the first byte says.
pub(super) fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 6 {
        0 => manifest(rest),
        1 => sealed(rest),
        2 => day_key(rest),
        3 => lifecycle(rest),
        4 => name(rest),
        _ => signed(rest),
    }
}

fn manifest(json: &[u8]) {
    let Ok(manifest) = Manifest::read(json) else { return };
    let text = serde_json::to_vec(&manifest).expect("a manifest can be written");
    let again = Manifest::read(&text).expect("a manifest that was written can be read");
    assert_eq!(again, manifest);
    let gaps = coalesce(manifest.gaps.clone());
    assert!(gaps.len() <= manifest.gaps.len());
    let frames = u32::try_from(manifest.duration_ms / 20).unwrap_or(u32::MAX);
    for stream in 0..manifest.call.streams.len().min(8) as u8 {
        let loudest = manifest.peaks_100ms.get(usize::from(stream)).and_then(|peaks| peaks.iter().max());
        judge(
            StreamIndex(stream),
            frames,
            &gaps,
            manifest.counts.get(usize::from(stream)),
            loudest.copied().unwrap_or(0),
        );
    }
    for key in names::names(manifest.id(), manifest.id().admitted_at()) {
        assert_eq!(names::parse(&key).map(|(id, _)| id), Some(manifest.id()));
    }
}

fn identity() -> Identity {
    Identity::from_bytes(Secret::copy_of(&[7; 32]))
}

/// A sealed file of ours with something done to it, or bytes that claim to be one: what opens is what was
/// sealed.
fn sealed(rest: &[u8]) {
    let [deed, at @ .., a, b] = rest.get(..6).unwrap_or_default() else { return };
    let (plain, at) = (rest[6..].to_vec(), u32::from_be_bytes([0, at[0], at[1], at[2]]) as usize);
    let plain = if deed & 8 != 0 { plain.repeat(CHUNK_BYTES / plain.len().max(1) + 1) } else { plain };
    let identity = identity();
    let mut file = match deed % 8 {
        0 => plain.clone(),
        _ => {
            let key = FileKey::of(&[3; 32], &[*b; 32]).expect("a key");
            let mut sealer = Sealer::new(&key, &identity.recipient().expect("a recipient")).expect("a head");
            sealer.push(&plain).expect("sealed");
            sealer.finish().expect("sealed")
        }
    };
    let whole = file.clone();
    let at = at % file.len().max(1);
    match deed % 8 {
        1 if !file.is_empty() => file[at] ^= a,
        2 => file.truncate(at),
        3 => file.insert(at, *a),
        4 => file.extend_from_slice(&whole[at..]),
        5 => file.rotate_left(at),
        _ => {}
    }
    let part = usize::from(*a) % (plain.len() + 1)..plain.len();
    let opened = open(&file, &identity, part.start as u64);
    if file == whole && deed % 8 != 0 {
        assert!(opened.as_deref() == Ok(&plain[part]), "what was sealed opens");
    } else {
        assert!(opened.is_err(), "what was not sealed so does not open");
    }
}

fn open(file: &[u8], identity: &Identity, from: u64) -> Result<Vec<u8>, SealError> {
    let total = plain_bytes(file.len() as u64)?;
    let head = file.get(..HEAD_BYTES).ok_or(SealError::Form)?;
    let from = from.min(total);
    let (first, within) = covering(&(from..total), total);
    let mut opener = Opener::new(head::open(head, identity)?, first, total);
    let mut plain = Vec::new();
    for bytes in file[within.start as usize..within.end as usize].chunks(10_007) {
        plain.extend(opener.push(bytes)?);
    }
    plain.extend(opener.finish()?);
    Ok(plain.split_off((from - first * CHUNK_BYTES as u64) as usize))
}

/// A directory of its own for each process, in memory where there is such a place.
fn directory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    base.join(format!("optag-stored-{}-{:?}", std::process::id(), std::thread::current().id()))
}

fn day_key(rest: &[u8]) {
    let mut parts = rest.splitn(2, |&byte| byte == 0);
    let (file, until) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let dir = directory();
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    let name = "2026-11-24-qqqqqqqqqq";
    std::fs::write(dir.join(format!("{name}.key")), file).expect("a file");
    std::fs::write(dir.join(format!("{name}.until")), until).expect("a file");
    let master = || MasterKey::from_bytes(&[5; 32]).expect("a master key");
    if let Ok(keys) = DayKeys::open(&dir, master()) {
        for key in keys.list().expect("keys that opened are listed") {
            let identity = keys.identity(&key).expect("a key that opened opens again");
            assert_eq!(identity.recipient(), Ok(key.recipient));
            let _ = keys.due(WallTime::from_unix_micros(1_800_000_000_000_000));
        }
        if let Ok((day, identity)) = keys.open_sealed_file(file) {
            let brought = keys.bring_in(day, identity, WallTime::default()).expect("brought in");
            assert_eq!(brought.day, day);
        }
        // Whatever lies there, today's key is one that this node made.
        let today = jiff::civil::date(2026, 11, 24);
        assert!(keys.recipient(today, WallTime::default()).is_ok_and(|key| key.is_own()));
    }
    let _ = std::fs::remove_dir_all(&dir);
}

fn lifecycle(rest: &[u8]) {
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let Ok(rules) = Rules::read(text) else { return };
    let _ = rules.touching(90);
    for days in [1, 90] {
        let ours = rules.with_ours(days);
        let after = Rules::read(&ours).expect("what we write can be read");
        assert!(after.drift(days).is_none(), "our rule is in it: {ours}");
        rules.others_kept(&after).expect("others' rules stay");
        assert_eq!(after.with_ours(days), ours, "and stay so");
    }
}

fn name(rest: &[u8]) {
    let Ok(key) = std::str::from_utf8(rest) else { return };
    let (parsed, kind) = (names::parse(key), names::kind(key));
    assert!(parsed.is_some() || kind.is_none());
    let _ = names::is_ours(key);
    if let (Some((id, _)), Some((kind, sealed))) = (parsed, kind) {
        let own = names::name(id, id.admitted_at(), kind, sealed);
        assert_eq!(names::kind(&own), Some((kind, sealed)));
        assert!(own.starts_with(&names::stem(id)));
    }
}

/// A signed document: what our key proves says what we signed.
fn signed(rest: &[u8]) {
    let Ok(signed) = serde_json::from_slice::<Signed>(rest) else { return };
    let signer = Signer::from_seed(&[9; 32]).expect("a key");
    let said =
        serde_json::json!({ "sequence": 7, "hash": "ab", "at": "2026-11-24T10:00:00Z", "pruned": false });
    if signed.verify(KIND, Some(&signer.public_key())).is_ok() {
        let proved: serde_json::Value = signed.read().expect("what was signed is JSON");
        assert_eq!(proved, said, "our key proves what it did not sign");
    }
    let _ = signed.verify(KIND, None);
}
