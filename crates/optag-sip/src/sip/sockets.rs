//! UDP sockets and TCP/TLS connections below SIP.
//!
//! In: addresses to listen on. Out: [`Arrived`] messages in one bounded queue, and a
//! [`Links`] that sends. Queues: towards the server, a full queue drops datagrams (their
//! senders repeat them) and makes connections wait; towards a peer, a full queue closes its
//! connection. Not here: what a message means, TLS certificates (`tls`).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::sip::allow_list::AllowList;
use crate::sip::connection_limits::{CONNECTIONS, Doors, HANDSHAKES, HANDSHAKES_PER_ADDRESS, PER_ADDRESS};
use crate::sip::flow::{Flow, Transport, Way};
use crate::sip::framing::{Framer, Piece};
use crate::sip::parse::{Framing, Parsed, Refusal, parse};

/// Capacity of the queue towards the server. Units: messages.
pub const ARRIVED_QUEUE: usize = 8_192;
/// Capacity of the send queue of one connection. Units: messages.
pub const PEER_QUEUE: usize = 256;
/// Timeout of a handshake, and of one message from its first byte to its last.
pub const STALLED: Duration = Duration::from_secs(10);
/// Silence within a body after which its Content-Length is considered wrong.
pub const BODY_STALLED: Duration = Duration::from_secs(5);
/// Idle timeout of a connection.
pub const SILENT: Duration = Duration::from_secs(2 * 3_600);
/// Largest UDP datagram. Units: bytes.
const DATAGRAM: usize = 65_535;
/// Kernel buffer of the UDP socket. Units: bytes.
const UDP_BUFFER: usize = 4 << 20;

/// A received message.
#[derive(Debug)]
pub struct Arrived {
    /// The flow it arrived on.
    pub flow: Flow,
    /// The message, or why it is not one.
    pub message: Result<Parsed, Refusal>,
    /// Its size. Units: bytes.
    pub bytes: usize,
}

/// Every socket and connection, by the `link` of a [`Flow`].
#[derive(Debug)]
pub struct Links {
    open: Mutex<HashMap<u64, Link>>,
    next: AtomicU64,
    connections: Arc<Doors>,
    handshakes: Arc<Doors>,
    clients: AllowList,
    arrived: mpsc::Sender<Arrived>,
    dropped: AtomicU64,
}

#[derive(Clone, Debug)]
enum Link {
    Udp(Arc<UdpSocket>),
    Peer(mpsc::Sender<Vec<u8>>),
}

impl Links {
    /// No sockets yet. Messages from `clients` are sent to `arrived`.
    pub fn new(clients: AllowList, arrived: mpsc::Sender<Arrived>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            next: AtomicU64::new(1),
            connections: Doors::new(CONNECTIONS, PER_ADDRESS),
            handshakes: Doors::new(HANDSHAKES, HANDSHAKES_PER_ADDRESS),
            clients,
            arrived,
            dropped: AtomicU64::new(0),
        })
    }

    /// Receives datagrams on a bound socket; returns its address.
    ///
    /// Errors: the runtime rejects the socket.
    pub fn serve_udp(self: &Arc<Self>, socket: std::net::UdpSocket) -> io::Result<SocketAddr> {
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let local = socket.local_addr()?;
        let link = self.add(Link::Udp(socket.clone()));
        tokio::spawn(receive_datagrams(self.clone(), socket, link, local));
        Ok(local)
    }

    /// Accepts connections on a bound socket, under TLS with `tls`; returns its address.
    ///
    /// Errors: the runtime rejects the socket.
    pub fn serve_stream(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<SocketAddr> {
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        tokio::spawn(accept_connections(self.clone(), listener, tls));
        Ok(local)
    }

    /// Restores a flow over a UDP socket bound to the same address as in an earlier process.
    pub fn again(&self, way: Way) -> Option<Flow> {
        let bound = |link: &Link| match link {
            Link::Udp(socket) => socket.local_addr().is_ok_and(|local| {
                local.port() == way.local.port()
                    && (local.ip() == way.local.ip() || local.ip().is_unspecified())
            }),
            Link::Peer(_) => false,
        };
        let open = self.lock();
        let link = open.iter().find(|(_, link)| way.transport == Transport::Udp && bound(link));
        link.map(|(&link, _)| Flow { transport: Transport::Udp, link, local: way.local, peer: way.peer })
    }

    /// Sends to a peer; a message that cannot be sent is dropped and counted.
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) {
        let link = self.lock().get(&flow.link).cloned();
        match link {
            Some(Link::Udp(socket)) => {
                if socket.try_send_to(&bytes, flow.peer).is_err() {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(Link::Peer(queue)) => {
                if queue.try_send(bytes).is_err() {
                    self.lock().remove(&flow.link);
                }
            }
            None => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Messages dropped because a queue or buffer was full or the connection gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Closes everything.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn add(&self, link: Link) -> u64 {
        let name = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(name, link);
        name
    }

    fn is_open(&self, link: u64) -> bool {
        self.lock().contains_key(&link)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Link>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bound socket for datagrams.
///
/// Errors: the address cannot be bound.
pub fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_recv_buffer_size(UDP_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A bound socket for connections.
///
/// Errors: the address cannot be bound.
pub fn bind_stream(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn receive_datagrams(links: Arc<Links>, socket: Arc<UdpSocket>, link: u64, local: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    let mut ways = HashMap::new();
    while links.is_open(link) {
        let received = timeout(Duration::from_secs(1), socket.recv_from(&mut buffer)).await;
        let Ok(Ok((bytes, peer))) = received else { continue };
        if !links.clients.allows(peer.ip()) {
            links.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let local = named(local, peer, &mut ways);
        let flow = Flow { transport: Transport::Udp, link, local, peer };
        let message = parse(&buffer[..bytes], Framing::Datagram);
        if links.arrived.try_send(Arrived { flow, message, bytes }).is_err() {
            links.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Our address towards this peer, for a socket bound to the unspecified address.
fn named(local: SocketAddr, peer: SocketAddr, ways: &mut HashMap<SocketAddr, SocketAddr>) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    if ways.len() > CONNECTIONS {
        ways.clear();
    }
    *ways.entry(peer).or_insert_with(|| {
        let seen = std::net::UdpSocket::bind((local.ip(), 0)).and_then(|probe| {
            probe.connect(peer)?;
            probe.local_addr()
        });
        seen.map_or(local, |address| SocketAddr::new(address.ip(), local.port()))
    })
}

async fn accept_connections(links: Arc<Links>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    while !links.arrived.is_closed() {
        let Ok(accepted) = timeout(Duration::from_secs(1), listener.accept()).await else { continue };
        let Ok((stream, peer)) = accepted else {
            // Probably out of file descriptors: wait for some to be released.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // The slot is taken before the task starts, so that connections accepted in one burst are counted.
        let listed = links.clients.allows(peer.ip());
        let place = listed.then(|| links.connections.enter(peer.ip())).flatten();
        let shaking = tls.as_ref().map(|_| links.handshakes.enter(peer.ip()));
        let (Some(place), true, Ok(local)) = (place, !matches!(shaking, Some(None)), stream.local_addr())
        else {
            links.dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (links, tls) = (links.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(&links, stream, Transport::Tcp, local, peer).await,
                Some(tls) => {
                    let shaken = timeout(STALLED, tls.accept(stream)).await;
                    drop(shaking);
                    if let Ok(Ok(stream)) = shaken {
                        converse(&links, stream, Transport::Tls, local, peer).await;
                    }
                }
            }
            drop(place);
        });
    }
}

/// Serves one connection until it closes.
async fn converse<S: AsyncRead + AsyncWrite>(
    links: &Arc<Links>,
    stream: S,
    transport: Transport,
    local: SocketAddr,
    peer: SocketAddr,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (queue, mut outgoing) = mpsc::channel::<Vec<u8>>(PEER_QUEUE);
    let link = links.add(Link::Peer(queue));
    let flow = Flow { transport, link, local, peer };
    let write = async {
        while let Some(bytes) = outgoing.recv().await {
            if !matches!(timeout(STALLED, writer.write_all(&bytes)).await, Ok(Ok(()))) {
                break;
            }
            let _ = writer.flush().await;
        }
        let _ = timeout(STALLED, writer.shutdown()).await;
    };
    let read = async {
        let (mut framer, mut buffer) = (Framer::default(), vec![0; 16 * 1024]);
        let mut begun: Option<Instant> = None;
        loop {
            let patience = match begun {
                None => SILENT,
                Some(at) if framer.awaits_body() => STALLED.saturating_sub(at.elapsed()).min(BODY_STALLED),
                Some(at) => STALLED.saturating_sub(at.elapsed()),
            };
            let mut pieces = Vec::new();
            match timeout(patience, reader.read(&mut buffer)).await {
                Ok(Ok(bytes)) if bytes > 0 => framer.push(&buffer[..bytes]),
                Err(_) if framer.awaits_body() => pieces.extend(framer.stalled()),
                _ => break,
            }
            pieces.extend(std::iter::from_fn(|| framer.cut()));
            let begins = begun.is_none() || pieces.iter().any(|piece| piece.message.is_ok());
            for Piece { message, bytes, last } in pieces {
                if links.arrived.send(Arrived { flow, message, bytes }).await.is_err() || last {
                    // Leaves time to send the response, if there is one.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    return;
                }
            }
            begun = match (framer.is_within(), begins) {
                (false, _) => None,
                (true, true) => Some(Instant::now()),
                (true, false) => begun,
            };
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    links.lock().remove(&link);
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;
    use crate::sip::tls::{Certificate, TlsFiles};

    fn acceptor(dir: &std::path::Path) -> TlsAcceptor {
        let made = rcgen::generate_simple_self_signed(["srs.example".to_owned()]).unwrap();
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Certificate::load(TlsFiles { certificate, key, client_ca: None }).unwrap().acceptor().unwrap()
    }

    /// Real sockets and simulated time: it passes while nobody does anything.
    #[tokio::test(start_paused = true)]
    async fn invariant_12_who_stalls_in_a_handshake_or_a_message_is_let_go_and_its_place_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (arrived, _arrivals) = mpsc::channel(8);
        let links = Links::new(AllowList::parse(["127.0.0.0/8"]).unwrap(), arrived);
        let begins = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bK1\r\n";
        // What comes at first; then nothing, or a byte a second.
        for (tls, first) in [(true, &b""[..]), (true, b"\x16\x03\x01\x02\x00\x01"), (false, begins)] {
            for trickles in [false, true] {
                let listener = bind_stream("127.0.0.1:0".parse().unwrap()).unwrap();
                let address = links.serve_stream(listener, tls.then(|| acceptor(dir.path()))).unwrap();
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(first).await.unwrap();
                let began = Instant::now();
                let (mut reader, mut writer) = client.split();
                // An alert, where what came is no TLS.
                let mut said = Vec::new();
                let ended = reader.read_to_end(&mut said);
                tokio::pin!(ended);
                loop {
                    tokio::select! {
                        _ = &mut ended => break,
                        () = tokio::time::sleep(Duration::from_secs(1)) => {
                            if trickles {
                                let _ = writer.write_all(b"X").await;
                            }
                        }
                    }
                    assert!(began.elapsed() <= STALLED + Duration::from_secs(2), "{tls} {trickles}");
                }
                while links.connections.taken() + links.handshakes.taken() > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    assert!(began.elapsed() <= STALLED + Duration::from_secs(12), "a place stays taken");
                }
            }
        }
    }
}
