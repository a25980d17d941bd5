//! Process hardening: core dumps, open file limit.

/// Turns core dumps off: one would hold audio and keys in the clear.
pub fn no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take plain values or a pointer that is valid for the call.
    let done = unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &none) == 0 && libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    };
    if !done {
        tracing::warn!("cannot disable core dumps: {}", std::io::Error::last_os_error());
    }
}

/// Lets nothing that is made from here on be read by others, by whichever library it is made.
pub fn private_files() {
    // SAFETY: the call takes a plain value and cannot fail.
    unsafe { libc::umask(0o077) };
}

/// Takes memory in small pages only: the allocator asks for large ones, 2 MiB each, and a thread that
/// touches a little of one has all of it.
pub fn no_huge_pages() {
    // Where the system refuses, the process takes more memory, and no log is open yet to say so.
    // SAFETY: the call takes plain values. Source: PR_SET_THP_DISABLE(2const).
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Raises the limit of open files to what the system allows: each stream has a socket.
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
