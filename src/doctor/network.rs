//! Ports, socket buffers, file descriptors, name resolution.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::app::hardening;
use crate::config::{Config, StoreConfig};
use crate::doctor::Finding;
use crate::index::IndexPlace;

/// How long a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// File descriptors beside those of streams: connections, segments, the database.
const DESCRIPTORS: u64 = 1_024;

/// Whether the addresses can be listened on. Where the recorder `runs`, it has them.
pub(super) fn ports(config: &Config, runs: bool) -> Vec<Finding> {
    if runs {
        return Vec::new();
    }
    let sip = &config.sip.listen;
    let tcp = [("api.listen", config.api.listen), ("metrics.listen", config.metrics_listen)].into_iter();
    let tcp = tcp.chain(sip.tcp.iter().map(|at| ("sip.listen_tcp", *at)));
    let tcp = tcp.chain(sip.tls.iter().map(|at| ("sip.listen_tls", *at)));
    let mut findings: Vec<Finding> =
        tcp.map(|(key, at)| listens(key, at, TcpListener::bind(at).map(drop))).collect();
    findings.extend(sip.udp.iter().map(|&at| listens("sip.listen_udp", at, UdpSocket::bind(at).map(drop))));
    findings.push(rtp(config));
    findings.extend(ephemeral(config));
    findings
}

fn listens(key: &str, at: SocketAddr, bound: io::Result<()>) -> Finding {
    match bound {
        Ok(()) => Finding::ok(key, format!("{at} can be listened on")),
        Err(error) => Finding::wrong(key, format!("{at}: {error}"), mend_bind(&error, at.ip())),
    }
}

fn mend_bind(error: &io::Error, ip: IpAddr) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another program has the port: `ss -lnp` shows which; stop it, or choose another port".into(),
        ErrorKind::AddrNotAvailable => format!("no interface has the address {ip}: `ip address` shows those there are"),
        ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities), or choose a higher one".into()
        }
        _ => "see the error".into(),
    }
}

fn rtp(config: &Config) -> Finding {
    let rtp = &config.rtp;
    let pairs: Vec<u16> = (rtp.port_min.next_multiple_of(2)..rtp.port_max).step_by(2).collect();
    let key = "rtp.port_min";
    let mut taken = Vec::new();
    for &port in &pairs {
        let bind = |port| UdpSocket::bind((rtp.listen_ip, port));
        match bind(port).and_then(|socket| bind(port + 1).map(|next| (socket, next))) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(port),
            Err(error) => {
                let detail = format!("{}: {error}", SocketAddr::new(rtp.listen_ip, port));
                return Finding::wrong("rtp.listen_ip", detail, mend_bind(&error, rtp.listen_ip));
            }
        }
    }
    let free = pairs.len() - taken.len();
    let detail = format!("{free} of {} pairs of ports are free: as many streams at a time", pairs.len());
    match (free, taken.first()) {
        (0, _) => Finding::wrong(
            key,
            detail,
            "choose a range that no other program uses (rtp.port_min, rtp.port_max)",
        ),
        (_, Some(port)) => Finding::warning(
            key,
            format!("{detail}; {port} is in use, for example"),
            "they are passed over; choose another range if it should be all",
        ),
        (_, None) => Finding::ok(key, detail),
    }
}

/// Ports that the kernel lends to whoever asks for any.
fn ephemeral(config: &Config) -> Option<Finding> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let reserved = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let mut bounds = text.split_whitespace().filter_map(|bound| bound.parse::<u16>().ok());
    let (low, high) = (bounds.next()?, bounds.next()?);
    let (from, to) = (config.rtp.port_min.max(low), config.rtp.port_max.min(high));
    let covered = reserved.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if first <= from && to <= last)
    });
    if from > to || covered {
        return Some(Finding::ok(
            "net.ipv4.ip_local_port_range",
            "the kernel lends none of the RTP ports to other programs",
        ));
    }
    Some(Finding::warning(
        "net.ipv4.ip_local_port_range",
        format!(
            "the kernel lends {from} to {to}, which are RTP ports, to whichever program asks for any port"
        ),
        format!(
            "sysctl -w net.ipv4.ip_local_reserved_ports={from}-{to}, and in /etc/sysctl.d; taken pairs are passed over"
        ),
    ))
}

/// Socket buffers and file descriptors.
pub(super) fn limits(config: &Config) -> Vec<Finding> {
    let asked = config.rtp.socket_buffer_bytes;
    let got = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).and_then(|socket| {
        socket.set_recv_buffer_size(asked)?;
        // The kernel doubles what is asked, for its own part.
        socket.recv_buffer_size().map(|bytes| bytes / 2)
    });
    let buffer = match got {
        Ok(got) if got >= asked => {
            Finding::ok("rtp.socket_buffer_kib", format!("{} KiB for each port", asked >> 10))
        }
        Ok(got) => Finding::warning(
            "rtp.socket_buffer_kib",
            format!("{} KiB were asked for, the kernel gives {}", asked >> 10, got >> 10),
            format!("sysctl -w net.core.rmem_max={asked}, and in /etc/sysctl.d"),
        ),
        Err(error) => Finding::wrong("rtp.socket_buffer_kib", error.to_string(), "see the error"),
    };
    let streams = u64::from(config.rtp.port_max - config.rtp.port_min) / 2;
    let (needed, most) = (streams * 2 + DESCRIPTORS, hardening::raise_open_files());
    let files = if most >= needed {
        Finding::ok("open files", format!("{most} are allowed, {needed} are enough for all RTP ports"))
    } else {
        Finding::warning(
            "open files",
            format!("{most} are allowed; all RTP ports together need {needed}"),
            format!("LimitNOFILE={needed} in the unit, `--ulimit nofile={needed}` of a container"),
        )
    };
    vec![buffer, files]
}

/// Whether the names of store, database and sign-in provider are resolved.
pub(super) async fn names(config: &Config) -> Vec<Finding> {
    let mut hosts = Vec::new();
    if let StoreConfig::S3(s3) = &config.store
        && let Some(url) = s3.endpoint.as_deref().and_then(|text| url::Url::parse(text).ok())
        && let Some(host) = url.host_str()
    {
        hosts.push((
            "store.endpoint",
            host.trim_matches(['[', ']']).to_owned(),
            url.port_or_known_default().unwrap_or(443),
        ));
    }
    if let IndexPlace::Postgres(address) = &config.index
        && let Ok(servers) = IndexPlace::servers(address.reveal())
    {
        hosts.extend(servers.iter().map(|one| ("index.postgres", one.get_host().to_owned(), one.get_port())));
    }
    if let Some(provider) = &config.sign_in.provider
        && provider.proxy.is_none()
        && let Some(url) = url::Url::parse(&provider.issuer).ok()
        && let Some(host) = url.host_str()
    {
        let port = url.port_or_known_default().unwrap_or(443);
        hosts.push(("sign_in.oidc.issuer", host.trim_matches(['[', ']']).to_owned(), port));
    }
    let mut findings = Vec::new();
    for (key, host, port) in hosts.into_iter().filter(|(_, host, _)| !host.starts_with('/')) {
        let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host.as_str(), port))).await;
        let found = match found {
            Err(_) => Err(format!("{host}: no answer within {} s", RESOLVE.as_secs())),
            Ok(Err(error)) => Err(format!("{host}: {error}")),
            Ok(Ok(addresses)) => match addresses.count() {
                0 => Err(format!("{host} has no address")),
                count => Ok(format!("{host} is resolved ({count} found)")),
            },
        };
        findings.push(Finding::of(key, found, "check the name, /etc/resolv.conf and the DNS server"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_port_that_another_program_has_is_found_with_its_key() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port() & !1;
        let text = format!(
            "[api]\nlisten = '{}'\n[metrics]\nlisten = '127.0.0.1:0'\n[sip]\nlisten_udp = '192.0.2.1:5060'\n\
             listen_tcp = ''\n[rtp]\nport_min = {port}\nport_max = {}\n",
            other.local_addr().unwrap(),
            port + 1
        );
        let findings = ports(&Config::parse(&text, []).unwrap(), false);
        let wrong: Vec<_> =
            findings.iter().filter(|one| one.state == State::Wrong).map(|one| one.check.as_str()).collect();
        assert_eq!(wrong, ["api.listen", "sip.listen_udp", "rtp.port_min"], "{findings:?}");
        assert!(findings.iter().filter(|one| one.state != State::Ok).all(|one| !one.mend.is_empty()));
        drop((other, rtp));
        assert_eq!(listens("api.listen", "127.0.0.1:0".parse().unwrap(), Ok(())).state, State::Ok);
    }

    #[test]
    fn a_buffer_that_the_kernel_does_not_give_is_found_with_the_setting_that_mends_it() {
        let most: u64 =
            std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
        let state = |kib: u64| {
            let config = Config::parse(&format!("[rtp]\nsocket_buffer_kib = {kib}\n"), []).unwrap();
            let found = limits(&config).remove(0);
            assert_eq!(found.state == State::Ok, !found.mend.contains("rmem_max"), "{found:?}");
            found.state
        };
        assert_eq!(state(16), State::Ok);
        if most < 16_384 << 10 {
            assert_eq!(state(16_384), State::Warning);
        }
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_wrong() {
        let text = "[store]\nkind = 's3'\nbucket = 'calls'\nendpoint = 'https://store.invalid'\n";
        let found = names(&Config::parse(text, []).unwrap()).await;
        assert!(
            found.len() == 1 && found[0].state == State::Wrong && found[0].check == "store.endpoint",
            "{found:?}"
        );
    }
}
