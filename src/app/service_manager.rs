//! Tells the service manager, where there is one, how the recorder stands.
//!
//! In: a state. Out: a datagram to the socket that systemd names in `NOTIFY_SOCKET`. Source: sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// What a service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls are taken.
    Ready,
    /// It stops, and needs at most so long for it.
    Stopping(Duration),
}

impl State {
    fn text(self) -> String {
        match self {
            Self::Ready => "READY=1".to_owned(),
            Self::Stopping(within) => format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()),
        }
    }
}

/// Tells it; without a service manager, nothing happens.
pub fn tell(state: State) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&socket, &state.text()) {
        tracing::warn!(%error, ?state, "cannot notify the service manager");
    }
}

fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let to = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_hears_that_the_recorder_is_ready_and_how_long_a_stop_may_take() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        for (state, text) in [
            (State::Ready, "READY=1"),
            (State::Stopping(Duration::from_secs(1_830)), "STOPPING=1\nEXTEND_TIMEOUT_USEC=1830000000"),
        ] {
            send(path.as_os_str(), &state.text()).unwrap();
            let mut heard = [0; 100];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(std::str::from_utf8(&heard[..length]).unwrap(), text);
        }
    }
}
