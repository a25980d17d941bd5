//! Audio kept losslessly until it is encoded.

use super::*;
use optag_media::fact::Form;
use optag_media::spill::DeferredSettings;

const SHARE: u64 = 4_000;

fn packed(n: u32) -> Body {
    let settings = DeferredSettings { bitrate_bps: 16_000, wideband_bitrate_bps: 24_000, complexity: 5 };
    let bytes = (0..300).map(|i| (n as u8).wrapping_mul(31).wrapping_add(i as u8)).collect();
    Body::Media(MediaBlock {
        first_frame: n * 2,
        form: Form::Packed(settings),
        streams: 1,
        lengths: vec![150; 2],
        peaks: vec![9; 2],
        bytes,
    })
}

fn open_small(disk: &CrashingDisk) -> (Spool, Recovered) {
    let master = MasterKey::from_bytes(&[5; 32]).unwrap();
    let config = SpoolConfig { packed_max_bytes: SHARE, ..config() };
    Spool::open(config, Arc::new(disk.clone()), master, Box::new(|_| {})).unwrap()
}

/// Waits for the spool's next check of its space.
fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("condition not met in time");
}

#[test]
fn invariant_12_audio_that_is_not_encoded_has_a_share_of_its_own() {
    let disk = CrashingDisk::new(1);
    let (spool, _) = open_small(&disk);
    assert!(durably(&spool, 1, opened(1)) && durably(&spool, 2, opened(2)));
    assert!(durably(&spool, 1, media(0)));
    assert!(spool.takes_packed());
    assert_eq!(spool.packed(id(1)), Packed::default(), "it is encoded");
    for n in 0..12 {
        assert!(durably(&spool, 2, packed(n)));
    }
    let of_call = spool.packed(id(2));
    assert!(of_call.frames == 24 && of_call.bytes > SHARE, "{of_call:?}");
    assert_eq!(spool.stats().packed, of_call);
    until(|| !spool.takes_packed());
    assert!(spool.accepts_new_calls(), "calls that are encoded at once");
    assert!(durably(&spool, 2, packed(12)), "calls in progress go on");
    spool.close();
    let (spool, recovered) = open_small(&disk);
    assert_eq!((recovered.damaged, recovered.newer), (0, 0));
    assert_eq!(spool.packed(id(2)).frames, 26, "also after a restart");
    assert!(!spool.takes_packed());
    assert_eq!(read(&spool, 2), [opened(2)].into_iter().chain((0..13).map(packed)).collect::<Vec<_>>());
    spool.destroy_key(id(2)).unwrap();
    until(|| spool.takes_packed());
    assert_eq!((spool.stats().packed, spool.holds(id(2))), (Packed::default(), false));
}

#[test]
fn a_spool_with_records_of_a_later_version_is_not_opened_and_nothing_of_it_changes() {
    let disk = CrashingDisk::new(1);
    let (spool, _) = open(&disk).unwrap();
    assert!(durably(&spool, 1, opened(1)) && durably(&spool, 1, media(0)));
    spool.close();
    // As a later version would write it: intact, of an unknown kind.
    let name = disk.list(&segment::dir(&config().dir)).unwrap().into_iter().min().unwrap();
    let path = segment::dir(&config().dir).join(name);
    let loaded = segment::load(&disk, &config().dir, 1).unwrap().bytes;
    let mut later = loaded.clone();
    let at = later.windows(4).rposition(|four| four == b"oRec").unwrap();
    let end = at + frame::RecordHead::peek(&later[at..]).unwrap().record_bytes();
    later[at + 40] = 99;
    frame::relink(&mut later[at..end], None);
    let write = |bytes: &[u8]| {
        let file = disk.open(&path, optag_files::disk::Access::Write).unwrap();
        optag_files::disk::write_all_at(&*file, bytes, 0).unwrap();
        file.sync().unwrap();
    };
    write(&later);
    let refused = open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(refused, SpoolError::Newer { records: 1 }), "{refused}");
    write(&loaded);
    let (_, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.calls.len(), recovered.damaged), (1, 0));
}
