//! Hosts of their own on one machine: a network namespace each, joined by a bridge, so that a host can be cut off. Nothing
//! of it has a name in the system: a namespace goes with the last descriptor and process in it, and its links with it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::Arc;

/// Where a program can run: a namespace with an address.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    namespace: Arc<File>,
    pub ip: Ipv4Addr,
}

impl Host {
    /// Does something within the host; programs that are started there stay there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves this thread, and those that it starts, to the host.
    pub(crate) fn enter(&self) {
        // SAFETY: the descriptor is that of a namespace and open.
        let moved = unsafe { libc::setns(self.namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(moved, 0, "{}", std::io::Error::last_os_error());
    }

    fn ip(&self, line: &str) {
        self.command("ip", line);
    }

    fn command(&self, program: &str, line: &str) {
        let done = self.within(|| Command::new(program).args(line.split(' ')).output().unwrap());
        assert!(done.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// No route from this host to that one any more; packets vanish.
    pub(crate) fn loses(&self, other: &Self) {
        self.ip(&format!("route add blackhole {}/32", other.ip));
    }

    /// There is one again.
    pub(crate) fn finds(&self, other: &Self) {
        self.ip(&format!("route del blackhole {}/32", other.ip));
    }
}

/// A bridge on a host, where the test itself is, and the hosts at its ports.
pub(crate) struct Network {
    pub hub: Host,
}

impl Network {
    /// An empty one. The error says what is missing.
    pub(crate) fn new() -> Result<Self, String> {
        let missing = crate::kamailio::missing_of(&["ip", "bridge"]);
        if !missing.is_empty() {
            return Err(format!("not installed: {}", missing.join(", ")));
        }
        let hub = Host { namespace: namespace()?, ip: Ipv4Addr::new(10, 77, 0, 254) };
        let bridged =
            hub.within(|| Command::new("ip").args(["link", "add", "br0", "type", "bridge"]).output());
        let bridged = bridged.map_err(|error| error.to_string())?;
        if !bridged.status.success() {
            return Err(format!(
                "no bridge can be made: {}",
                String::from_utf8_lossy(&bridged.stderr).trim()
            ));
        }
        hub.ip("link set lo up");
        hub.ip(&format!("addr add {}/24 dev br0", hub.ip));
        hub.ip("link set br0 up");
        Ok(Self { hub })
    }

    /// Another host, with the last part of its address.
    pub(crate) fn host(&self, last: u8) -> Host {
        let host = Host { namespace: namespace().unwrap(), ip: Ipv4Addr::new(10, 77, 0, last) };
        let place = format!("/proc/{}/fd/{}", std::process::id(), host.namespace.as_raw_fd());
        self.hub.ip(&format!("link add port{last} type veth peer name eth0 netns {place}"));
        self.hub.ip(&format!("link set port{last} master br0"));
        self.hub.ip(&format!("link set port{last} up"));
        host.ip("link set lo up");
        host.ip(&format!("addr add {}/24 dev eth0", host.ip));
        host.ip("link set eth0 up");
        host
    }

    /// Cuts the host off from all others, without a word to anyone, or joins it again.
    pub(crate) fn cut(&self, host: &Host, cut: bool) {
        let (last, state) = (host.ip.octets()[3], if cut { 0 } else { 3 });
        self.hub.command("bridge", &format!("link set dev port{last} state {state}"));
    }
}

/// A new network namespace. The error says why there is none.
fn namespace() -> Result<Arc<File>, String> {
    let made = std::thread::spawn(|| {
        // SAFETY: a plain system call, on a thread of its own.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        File::open("/proc/thread-self/ns/net")
    });
    let made = made.join().map_err(|_| "a thread ended".to_owned())?;
    made.map(Arc::new).map_err(|error| format!("no network namespace can be made (root is needed): {error}"))
}
