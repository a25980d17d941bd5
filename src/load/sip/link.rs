//! Connections to a recording server: one socket or a few connections for all sessions. In: bytes to send.
//! Out: messages, dispatched to sessions by Call-ID.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::message::Message;
use super::{Identity, Target, Transport};

/// Receive buffer requested for the socket. Units: bytes.
const SOCKET_BYTES: usize = 4 << 20;
/// Maximum number of messages queued for a connection; beyond it the senders wait.
const UNWRITTEN: usize = 4_096;
/// Maximum number of messages queued for a session; beyond it they are dropped, as the network might.
const UNREAD: usize = 64;
/// Maximum size of a received message. Units: bytes.
const MESSAGE_BYTES: usize = 1 << 20;

/// An open connection or socket.
pub struct Link {
    /// The local address.
    pub local: SocketAddr,
    /// Its transport.
    pub transport: Transport,
    way: Way,
    sessions: Arc<Sessions>,
}

enum Way {
    Datagrams(Arc<UdpSocket>),
    Connection(mpsc::Sender<Vec<u8>>),
}

/// Receivers by Call-ID.
#[derive(Default)]
struct Sessions(Mutex<HashMap<String, mpsc::Sender<Message>>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_on(&self, bytes: &[u8]) {
        let Some(message) = Message::parse(bytes) else { return };
        let to = message.field("call-id").and_then(|id| self.lock().get(id).cloned());
        if let Some(to) = to {
            let _ = to.try_send(message);
        }
    }
}

impl Link {
    /// Opens a connection or socket.
    ///
    /// Errors: the server cannot be reached, or its certificate is invalid.
    pub async fn open(target: &Target, identity: &Identity) -> anyhow::Result<Self> {
        let sessions = Arc::new(Sessions::default());
        let (local, way) = match target.transport {
            Transport::Udp => {
                let any = if target.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await?;
                socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES)?;
                socket.connect(target.address).await?;
                let (local, socket) = (socket.local_addr()?, Arc::new(socket));
                tokio::spawn(read_datagrams(Arc::clone(&socket), Arc::clone(&sessions)));
                (local, Way::Datagrams(socket))
            }
            Transport::Tcp | Transport::Tls => {
                let stream = TcpStream::connect(target.address).await;
                let stream = stream.with_context(|| format!("cannot connect to {}", target.address))?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                let way = match target.transport {
                    Transport::Tls => {
                        let name = ServerName::try_from(target.host.clone())?;
                        let connector = TlsConnector::from(Arc::new(client_config(identity)?));
                        let secured = connector.connect(name, stream).await;
                        carry(secured.context("TLS handshake failed")?, &sessions)
                    }
                    _ => carry(stream, &sessions),
                };
                (local, way)
            }
        };
        Ok(Self { local, transport: target.transport, way, sessions })
    }

    /// Sends a message.
    ///
    /// Errors: the connection is closed, or the system rejects the message.
    pub async fn send(&self, bytes: Vec<u8>) -> anyhow::Result<()> {
        match &self.way {
            Way::Datagrams(socket) => drop(socket.send(&bytes).await?),
            Way::Connection(queue) => {
                if queue.send(bytes).await.is_err() {
                    bail!("the server closed the connection");
                }
            }
        }
        Ok(())
    }

    /// Receives the messages with this Call-ID from now on.
    pub fn listen(&self, call_id: &str) -> mpsc::Receiver<Message> {
        let (to, from) = mpsc::channel(UNREAD);
        self.sessions.lock().insert(call_id.to_owned(), to);
        from
    }

    /// Stops receiving messages with this Call-ID.
    pub fn forget(&self, call_id: &str) {
        self.sessions.lock().remove(call_id);
    }
}

async fn read_datagrams(socket: Arc<UdpSocket>, sessions: Arc<Sessions>) {
    let mut buffer = vec![0; 65_535];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(bytes) => sessions.hand_on(&buffer[..bytes]),
            // No receiver at the moment: retransmissions follow.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

fn carry<S>(stream: S, sessions: &Arc<Sessions>) -> Way
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reading, mut writing) = tokio::io::split(stream);
    let (to_write, mut written) = mpsc::channel::<Vec<u8>>(UNWRITTEN);
    let sessions = Arc::clone(sessions);
    tokio::spawn(async move {
        while let Some(bytes) = written.recv().await {
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Ok(1..) = reading.read_buf(&mut buffer).await {
            while buffer.starts_with(b"\r\n") {
                buffer.drain(..2);
            }
            while let Some(length) = Message::length(&buffer) {
                sessions.hand_on(&buffer[..length]);
                buffer.drain(..length);
            }
            if buffer.len() > MESSAGE_BYTES {
                return;
            }
        }
    });
    Way::Connection(to_write)
}

fn client_config(identity: &Identity) -> anyhow::Result<rustls::ClientConfig> {
    let authority = identity
        .ca_file
        .as_deref()
        .context("TLS requires --sip-ca-file, the CA of the server's certificate")?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(authority)? {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match &identity.certificate {
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
            builder.with_client_auth_cert(certificates(certificate)?, key)?
        }
        None => builder.with_no_client_auth(),
    })
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).with_context(|| file.display().to_string())?;
    all.collect::<Result<_, _>>().with_context(|| file.display().to_string())
}
