//! The line of `/proc/PID/stat`. Source: proc_pid_stat(5).

/// Clock ticks per second: always this value on Linux.
pub const TICKS_PER_S: u64 = 100;

/// The fields after the program's name: the first is the state, field 3 of the manual page.
pub fn fields(stat: &str) -> Option<Vec<&str>> {
    // The name, in parentheses, may contain anything.
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}
