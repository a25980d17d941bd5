//! Location and protection of secrets, according to the system.

use optag_testing::process_memory::{assert_protected, has_a_process_to_itself, mappings};

use super::*;

#[test]
fn secrets_lie_in_pages_that_are_locked_and_not_dumped_each_in_its_own_slot() {
    let many: Vec<Secret> = (0..1_200).map(|n: u32| Secret::copy_of(&[n as u8; 32])).collect();
    for (n, one) in many.iter().enumerate() {
        assert_eq!(**one, [n as u8; 32]);
    }
    for one in [&many[0], &many[600], &many[1_199]] {
        assert_protected(one.as_ptr().addr());
    }
    assert!(usage().total >= 1_200 * SECRET_BYTES && usage().unprotected == 0, "{:?}", usage());
}

#[test]
fn a_dropped_secret_is_zeros_in_the_page_that_is_still_mapped() {
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    let mut secret = Secret::within(pool);
    secret.fill(0xa7);
    let place = secret.slot.as_ptr();
    // SAFETY: chunks stay mapped, and nothing else takes slots of this pool.
    assert_eq!(unsafe { place.read_volatile() }, [0xa7; 32]);
    drop(secret);
    // SAFETY: as above.
    assert_eq!(unsafe { place.read_volatile() }, [0; 32]);
    assert_eq!(*Secret::within(pool), [0; 32]);
    assert_eq!(pool.slots().usage.total, CHUNK_BYTES, "freed slots are used again");
}

/// In a separate process, because the limit is per process.
#[test]
fn where_no_memory_may_be_locked_keys_work_and_the_shortfall_is_counted() {
    if !has_a_process_to_itself(optag_testing::test_name!()) {
        return;
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call takes a pointer to a local.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &none) }, 0);
    caps::clear(None, caps::CapSet::Effective).unwrap();
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    let mut secret = Secret::within(pool);
    secret.fill(3);
    assert_eq!(*secret, [3; 32]);
    assert_eq!(pool.slots().usage, Usage { total: CHUNK_BYTES, unprotected: CHUNK_BYTES });
    let at = secret.as_ptr().addr();
    let (_, _, flags) = mappings().into_iter().find(|(range, ..)| range.contains(&at)).unwrap();
    let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
    assert!(has("dd") && has("wf") && !has("lo"), "{flags:?}");
}

/// In a separate process, for the same reason.
#[test]
fn a_soft_limit_is_raised_to_the_hard_one_before_keys_go_unlocked() {
    if !has_a_process_to_itself(optag_testing::test_name!()) {
        return;
    }
    let small = libc::rlimit { rlim_cur: 0, rlim_max: 1 << 20 };
    // SAFETY: the call takes a pointer to a local.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &small) }, 0);
    caps::clear(None, caps::CapSet::Effective).unwrap();
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    assert_protected(Secret::within(pool).as_ptr().addr());
    assert_eq!(pool.slots().usage.unprotected, 0);
}
