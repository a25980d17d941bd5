//! Upgrade in place: one program replaces another by `exec` without closing a socket; packets that arrive meanwhile wait
//! in kernel buffers. The process id stays the same, as service managers expect.
//!
//! In: sockets that are no longer read. Out: their descriptors, listed in a memory file that the next program finds by an
//! environment variable. Not here: calls and dialogs, which resume as after a crash (`recorder::resume`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::config::HANDOVER_VARIABLE;
use optag_core::clock::MonoTime;
use optag_media::net::socket::InheritedSocket;

/// Sockets that stay open.
#[derive(Debug, Default)]
pub struct Handover {
    /// Sockets of calls, by port.
    pub rtp: HashMap<u16, InheritedSocket>,
    /// Restrictions of the process, which the next program inherits.
    pub confined: Vec<String>,
    others: HashMap<String, OwnedFd>,
}

/// Contents of the handover file.
#[derive(Serialize, Deserialize)]
struct Named {
    rtp: Vec<NamedRtp>,
    others: Vec<(String, RawFd)>,
    /// Missing in handovers of version 0.1.0, which was not confined.
    #[serde(default)]
    confined: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct NamedRtp {
    port: u16,
    fd: RawFd,
    last_read: MonoTime,
    dropped: u32,
}

impl Handover {
    /// What the previous program left open; empty if there was none.
    ///
    /// Errors: the handover cannot be read.
    pub fn from_env() -> anyhow::Result<Self> {
        let Some(number) = std::env::var_os(HANDOVER_VARIABLE) else { return Ok(Self::default()) };
        let number = number.to_str().unwrap_or_default();
        let number: RawFd =
            number.parse().with_context(|| format!("{HANDOVER_VARIABLE} is not a file descriptor"))?;
        // SAFETY: the previous program opened it for this one, and nothing else here uses it.
        let mut file = unsafe { File::from_raw_fd(number) };
        let mut text = String::new();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut text))
            .context("cannot read the upgrade handover")?;
        let named: Named = serde_json::from_str(&text).context("cannot read the upgrade handover")?;
        let mut kept = Self { confined: named.confined, ..Self::default() };
        for NamedRtp { port, fd, last_read, dropped } in named.rtp {
            inherit(fd, false)?;
            // SAFETY: as above; it is a datagram socket of the previous program.
            let socket = unsafe { UdpSocket::from_raw_fd(fd) };
            kept.rtp.insert(port, InheritedSocket { socket, last_read, dropped });
        }
        for (name, fd) in named.others {
            inherit(fd, false)?;
            // SAFETY: as above.
            kept.others.insert(name, unsafe { OwnedFd::from_raw_fd(fd) });
        }
        Ok(kept)
    }

    /// Restrictions of the previous program, if it handed over; [`Handover::from_env`] returns them too, and takes the
    /// sockets.
    pub fn confined_before() -> Option<Vec<String>> {
        let number: RawFd = std::env::var(HANDOVER_VARIABLE).ok()?.parse().ok()?;
        let text = std::fs::read_to_string(format!("/proc/self/fd/{number}")).unwrap_or_default();
        Some(serde_json::from_str::<Named>(&text).map(|named| named.confined).unwrap_or_default())
    }

    /// Keeps a socket under a name.
    pub fn keep(&mut self, name: String, socket: impl Into<OwnedFd>) {
        self.others.insert(name, socket.into());
    }

    /// Takes the socket of that name, if it was kept.
    pub fn take<S: From<OwnedFd>>(&mut self, name: &str) -> Option<S> {
        self.others.remove(name).map(S::from)
    }

    /// Replaces the running program by `program`, with the same arguments. Returns only on failure.
    pub fn exec(self, program: &Path) -> anyhow::Error {
        let confined = self.confined;
        let named = self.rtp.into_iter().map(|(port, kept)| {
            let InheritedSocket { socket, last_read, dropped } = kept;
            NamedRtp { port, fd: socket.into_raw_fd(), last_read, dropped }
        });
        let others = self.others.into_iter().map(|(name, fd)| (name, fd.into_raw_fd()));
        let named = Named { rtp: named.collect(), others: others.collect(), confined };
        let mut all = named.rtp.iter().map(|rtp| rtp.fd).chain(named.others.iter().map(|(_, fd)| *fd));
        let written = all.try_for_each(|fd| inherit(fd, true)).and_then(|()| write(&named));
        match written {
            Ok(file) => {
                [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2].into_iter().for_each(ignore);
                let mut next = Command::new(program);
                next.args(std::env::args_os().skip(1)).env(HANDOVER_VARIABLE, file.as_raw_fd().to_string());
                anyhow::Error::new(next.exec()).context(format!("cannot start {}", program.display()))
            }
            Err(error) => anyhow::Error::new(error).context("cannot hand over sockets"),
        }
    }
}

/// Ignores a signal until the next program handles it: it must not end that program before it is ready.
fn ignore(signal: libc::c_int) {
    // SAFETY: no handler is installed, and `exec` follows.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// A memory file that the next program inherits.
fn write(named: &Named) -> io::Result<File> {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"optag-handover".as_ptr(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just created, and not shared.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(&serde_json::to_vec(named)?)?;
    Ok(file)
}

/// Sets whether the next program inherits a descriptor.
fn inherit(fd: RawFd, stays: bool) -> io::Result<()> {
    let flags = if stays { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: changes a flag of a descriptor; an invalid number is an error.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_again_by_its_name_and_once() {
        let mut kept = Handover::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        kept.keep("api".into(), listener);
        assert!(kept.take::<std::net::TcpListener>("metrics").is_none());
        let again: std::net::TcpListener = kept.take("api").unwrap();
        assert_eq!(again.local_addr().unwrap(), address);
        assert!(kept.take::<std::net::TcpListener>("api").is_none());
    }

    #[test]
    fn what_is_written_is_what_the_next_program_reads() {
        let named = Named {
            rtp: vec![NamedRtp { port: 4, fd: 5, last_read: MonoTime::from_nanos(6), dropped: 7 }],
            others: vec![("api".into(), 8)],
            confined: vec!["files".into()],
        };
        let mut file = write(&named).unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let again: Named = serde_json::from_str(&text).unwrap();
        assert_eq!((again.rtp[0].port, again.rtp[0].fd, again.rtp[0].dropped), (4, 5, 7));
        assert_eq!((again.others, again.confined), (named.others, named.confined));
        let of_0_1_0: Named = serde_json::from_str("{\"rtp\":[],\"others\":[]}").unwrap();
        assert!(of_0_1_0.confined.is_empty());
    }
}
