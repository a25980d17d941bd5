//! Where a running spool keeps its keys in memory.

use super::*;
use crate::spool::MasterSecret;
use optag_testing::process_memory::{assert_protected, copies, has_a_process_to_itself};

/// A masked copy of a key, so that the test itself creates no plain copy.
fn disguised(secret: &[u8; 32]) -> [u8; 32] {
    secret.map(|byte| !byte)
}

#[test]
fn keys_of_a_running_spool_lie_in_locked_memory_alone_and_are_wiped() {
    if !has_a_process_to_itself(optag_testing::test_name!()) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (loaded, _) = MasterSecret::load_or_create(&dir.path().join("master.key")).unwrap();
    let master = loaded.key().unwrap();
    drop(loaded);
    let master_at = master.secret().as_ptr().addr();
    let master_looks = disguised(master.secret());
    let disk = CrashingDisk::default();
    let (spool, _) = Spool::open(config(), Arc::new(disk), master, Box::new(|_| {})).unwrap();
    for body in [opened(1), granted()].into_iter().chain((0..20).map(media)) {
        spool.append(vec![SpoolRecord { call: id(1), body }]).unwrap();
    }
    let (done, durable) = channel();
    spool.barrier(Box::new(move |result| done.send(result.is_ok()).unwrap_or_default()));
    assert_eq!(durable.recv(), Ok(true));
    assert!(!read(&spool, 1).is_empty());
    let derived = spool.derive(id(1), b"stored objects").unwrap();
    let (key_at, key_looks) = {
        let places = spool.shared.places();
        let key = places.get(&id(1)).unwrap().key.secret();
        (key.as_ptr().addr(), disguised(key))
    };
    for (what, at, looks) in [
        ("the master key", master_at, master_looks),
        ("the call's key", key_at, key_looks),
        ("what is derived of it", derived.as_ptr().addr(), disguised(&derived)),
    ] {
        assert_protected(at);
        assert_eq!(copies(&looks), [at], "{what} lies elsewhere as well");
    }
    spool.destroy_key(id(1)).unwrap();
    assert_eq!(copies(&key_looks), [0_usize; 0], "the key of a destroyed call is still in memory");
    spool.close();
    drop(spool);
    assert_eq!(copies(&master_looks), [0_usize; 0], "the master key is still in memory");
}
