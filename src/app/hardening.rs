//! Process hardening: core dumps, open file limit.

/// Disables core dumps, which would contain audio and keys in clear.
pub fn no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take plain values, or a pointer valid for the call.
    let done = unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none) == 0 && libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    };
    if !done {
        tracing::warn!("cannot disable core dumps: {}", std::io::Error::last_os_error());
    }
}

/// Makes all files created from here on private, whichever library creates them.
pub fn private_files() {
    // SAFETY: the call takes a plain value and cannot fail.
    unsafe { libc::umask(0o077) };
}

/// Disables huge pages: the allocator requests 2 MiB pages, and a thread that uses a small part of one occupies all
/// of it.
pub fn no_huge_pages() {
    // If this fails, the process uses more memory; the log is not open yet.
    // SAFETY: the call takes plain values. Source: PR_SET_THP_DISABLE(2const).
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Raises the limit of open files to the system's maximum: each stream has a socket.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes, then for reads.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    limit.rlim_cur
}
