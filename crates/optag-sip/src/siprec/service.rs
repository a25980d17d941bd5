//! The recording server with its sockets, as the application starts and stops it.
//!
//! In: addresses, settings, a [`Feed`]. Out: calls on that feed. One task owns the sans-IO
//! [`Server`]; results of the feed come back to it through a bounded queue. Not here: what
//! is answered and why.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::feed::{Control, Feed};
use crate::sip::sockets::{ARRIVED_QUEUE, Arrived, Links, bind_stream, bind_udp};
use crate::sip::tls::{Certificate, TlsFiles};
use crate::siprec::server::{Input, Output, Server};
use crate::siprec::session::snapshot::SessionSnapshot;
use crate::siprec::settings::Config;
use crate::siprec::stats::Stats;
use optag_core::call::{AnnouncedCall, ConsentHow, ConsentState, Department};
use optag_core::clock::{Clock, MonoTime};
use optag_core::id::CallId;

/// Interval of the check for calls that the engine ended and for changed certificates.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Capacity of the queue of feed results.
const RESULTS: usize = 4_096;

/// Receives accounts of sessions; must not block.
pub type AnnouncedCallSink = Arc<dyn Fn(AnnouncedCall) + Send + Sync>;

/// Listening addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// TLS addresses.
    pub tls: Vec<SocketAddr>,
    /// Certificate files; required with TLS addresses.
    pub tls_files: Option<TlsFiles>,
}

/// Bound sockets, one per address.
#[derive(Debug, Default)]
pub struct Sockets {
    /// UDP.
    pub udp: Vec<UdpSocket>,
    /// TCP.
    pub tcp: Vec<TcpListener>,
    /// TLS.
    pub tls: Vec<TcpListener>,
}

impl Sockets {
    /// Binds every address.
    ///
    /// Errors: one cannot be bound.
    pub fn bind(listen: &Listen) -> io::Result<Self> {
        let streams = |addresses: &[SocketAddr]| -> io::Result<Vec<TcpListener>> {
            addresses.iter().map(|&at| bind_stream(at)).collect()
        };
        Ok(Self {
            udp: listen.udp.iter().map(|&at| bind_udp(at)).collect::<io::Result<_>>()?,
            tcp: streams(&listen.tcp)?,
            tls: streams(&listen.tls)?,
        })
    }

    /// Receives on all of them from now on.
    ///
    /// Errors: the runtime rejects a socket; there is no certificate for TLS, or it is of no use.
    pub(crate) fn serve(
        self,
        links: &Arc<Links>,
        certificate: Option<&Arc<Certificate>>,
    ) -> io::Result<Bound> {
        let mut bound = Bound::default();
        for socket in self.udp {
            bound.udp.push(links.serve_udp(socket)?);
        }
        for listener in self.tcp {
            bound.tcp.push(links.serve_stream(listener, None)?);
        }
        for listener in self.tls {
            let certificate =
                certificate.ok_or_else(|| io::Error::other("TLS listener without a certificate"))?;
            bound.tls.push(links.serve_stream(listener, Some(certificate.acceptor()?))?);
        }
        Ok(bound)
    }
}

/// The addresses that were bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// UDP.
    pub udp: Vec<SocketAddr>,
    /// TCP.
    pub tcp: Vec<SocketAddr>,
    /// TLS.
    pub tls: Vec<SocketAddr>,
}

/// A running recording server. Dropping it leaves it running; see [`SipServer::stop`].
#[derive(Debug)]
pub struct SipServer {
    bound: Bound,
    links: Arc<Links>,
    orders: mpsc::Sender<Order>,
    stats: watch::Receiver<Stats>,
    task: JoinHandle<()>,
}

/// What happens to sessions when the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// They are ended: BYE to clients, and the calls end.
    Bye,
    /// They are kept for another process to resume.
    Leave,
}

#[derive(Debug)]
enum Order {
    Drain,
    Accepting(bool),
    Departments(Vec<Department>),
    Stop(Ending, oneshot::Sender<Vec<SessionSnapshot>>),
}

impl SipServer {
    /// Starts listening. `resumed`: sessions that an earlier process saved.
    ///
    /// Errors: an address cannot be bound, or certificates cannot be read.
    pub async fn start(
        listen: Listen,
        config: Config,
        feed: Arc<dyn Feed>,
        clock: Arc<dyn Clock>,
        announced: AnnouncedCallSink,
        resumed: Vec<SessionSnapshot>,
    ) -> io::Result<Self> {
        let sockets = Sockets::bind(&listen)?;
        Self::start_on(sockets, listen.tls_files, config, feed, clock, announced, resumed)
    }

    /// Starts on sockets that are already bound.
    ///
    /// Errors: certificates cannot be read.
    pub fn start_on(
        sockets: Sockets,
        tls_files: Option<TlsFiles>,
        config: Config,
        feed: Arc<dyn Feed>,
        clock: Arc<dyn Clock>,
        announced: AnnouncedCallSink,
        resumed: Vec<SessionSnapshot>,
    ) -> io::Result<Self> {
        let (arrived, arrivals) = mpsc::channel(ARRIVED_QUEUE);
        let links = Links::new(
            config.profiles.iter().fold(config.clients.clone(), |all, one| all.with(&one.clients)),
            arrived,
        );
        let certificate = tls_files.map(Certificate::load).transpose()?;
        let bound = sockets.serve(&links, certificate.as_ref())?;
        let (orders, ordered) = mpsc::channel(8);
        let (publish, stats) = watch::channel(Stats::default());
        let now = clock.mono();
        let mut server = Server::new(config, now);
        for kept in resumed {
            let flow = kept.way.and_then(|way| links.again(way));
            server.resume(now, kept, flow);
        }
        for (call, silence) in server.silences() {
            feed.silence(call, silence);
        }
        let (results, decided) = mpsc::channel(RESULTS);
        let consents = feed.consents();
        let shell =
            Shell { server, links: links.clone(), feed, clock, announced, results, certificate, publish };
        let task = tokio::spawn(shell.run(arrivals, decided, ordered, consents));
        Ok(Self { bound, links, orders, stats, task })
    }

    /// The bound addresses.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Counters so far.
    pub fn stats(&self) -> Stats {
        *self.stats.borrow()
    }

    /// The counters as they change.
    pub fn stats_stream(&self) -> watch::Receiver<Stats> {
        self.stats.clone()
    }

    /// A reader of the number of messages dropped because a queue or buffer was full or the connection gone.
    pub fn dropped_messages(&self) -> impl Fn() -> u64 + Send + 'static {
        let links = Arc::clone(&self.links);
        move || links.dropped()
    }

    /// Admits no new calls and waits until the last session is over or `patience` has passed.
    /// Returns whether no session is left.
    pub async fn drain(&self, patience: Duration) -> bool {
        if self.orders.send(Order::Drain).await.is_err() {
            return true;
        }
        let mut stats = self.stats.clone();
        let empty =
            async { stats.wait_for(|stats| stats.draining == 1 && stats.sessions == 0).await.is_ok() };
        tokio::time::timeout(patience, empty).await.unwrap_or(false)
    }

    /// Takes other departments for sessions that begin from now on.
    pub async fn change_departments(&self, all: Vec<Department>) {
        // A server that has ended takes no sessions.
        let _ = self.orders.send(Order::Departments(all)).await;
    }

    /// Sets whether OPTIONS says that calls fit. The function returns false if the server is busy: try again.
    pub fn accepting_switch(&self) -> impl Fn(bool) -> bool + Send + 'static {
        let orders = self.orders.clone();
        move |accepting| orders.try_send(Order::Accepting(accepting)).is_ok()
    }

    /// Stops the server. Returns the saved sessions with [`Ending::Leave`].
    pub async fn stop(self, ending: Ending) -> Vec<SessionSnapshot> {
        let (tell, told) = oneshot::channel();
        let saved = match self.orders.send(Order::Stop(ending, tell)).await {
            Ok(()) => told.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let _ = self.task.await;
        self.links.close();
        saved
    }
}

/// State of the server task.
struct Shell {
    server: Server,
    links: Arc<Links>,
    feed: Arc<dyn Feed>,
    clock: Arc<dyn Clock>,
    announced: AnnouncedCallSink,
    results: mpsc::Sender<Input>,
    certificate: Option<Arc<Certificate>>,
    publish: watch::Sender<Stats>,
}

impl Shell {
    async fn run(
        mut self,
        mut arrivals: mpsc::Receiver<Arrived>,
        mut decided: mpsc::Receiver<Input>,
        mut ordered: mpsc::Receiver<Order>,
        mut consents: broadcast::Receiver<(CallId, ConsentState)>,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.clock.mono();
            let next = self.server.next_timeout();
            let wait = next.map_or(LOOK_EVERY, |at| at.since(now).min(LOOK_EVERY));
            tokio::select! {
                Some(arrived) = arrivals.recv() => self.take(arrived),
                Some(input) = decided.recv() => self.handle(input),
                Ok((call, consent)) = consents.recv() => {
                    if let Some(id) = self.server.session_of(call) {
                        self.handle(Input::Consent(id, consent));
                    }
                }
                Some(order) = ordered.recv() => match order {
                    Order::Drain => self.handle(Input::Drain),
                    Order::Accepting(accepting) => self.handle(Input::Accepting(accepting)),
                    Order::Departments(all) => self.handle(Input::Departments(all)),
                    Order::Stop(ending, tell) => {
                        self.end(ending, &mut decided).await;
                        let _ = tell.send(self.server.save());
                        return;
                    }
                },
                () = sleep(wait) => {}
                _ = look.tick() => self.look_around(),
            }
            let now = self.clock.mono();
            if self.server.next_timeout().is_some_and(|at| at <= now) {
                let mut out = Vec::new();
                self.server.handle_timeout(now, &mut out);
                self.carry_out(out);
            }
            self.publish.send_replace(self.server.stats());
        }
    }

    fn take(&mut self, arrived: Arrived) {
        let Arrived { flow, message, bytes } = arrived;
        self.handle(Input::Received { flow, message, bytes, at: self.clock.wall() });
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.server.handle(self.clock.mono(), input, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(flow, bytes) => self.links.send(flow, bytes),
                Output::AnnouncedCall(call) => (self.announced)(*call),
                Output::Silence(call, silence) => self.feed.silence(call, silence),
                Output::Alive(call, vouched) => self.feed.alive(call, vouched),
                Output::Keep(call, text) => self.feed.keep(call, text),
                Output::Admit(id, call) => {
                    let (feed, results) = (self.feed.clone(), self.results.clone());
                    tokio::spawn(async move {
                        let decided = feed.admit(*call).await;
                        let _ = results.send(Input::Admitted(id, decided)).await;
                    });
                }
                Output::Control(id, call, control) => {
                    let (feed, results) = (self.feed.clone(), self.results.clone());
                    tokio::spawn(async move {
                        // A key press counts as an answer only while the prompt is pending.
                        let by_key = matches!(&control, Control::Answer { how: ConsentHow::Key, .. });
                        let view =
                            feed.call(call).filter(|view| by_key && view.consent != ConsentState::Asked);
                        let done = match view {
                            Some(view) => Ok(view),
                            None => feed.control(call, control).await,
                        };
                        let _ = results.send(Input::Controlled(id, done)).await;
                    });
                }
            }
        }
    }

    /// Ends sessions whose calls the engine has ended (silence timeout, maximum duration).
    fn look_around(&mut self) {
        for (id, call) in self.server.calls() {
            match self.feed.call(call) {
                Some(view) if view.ended_at.is_none() => {
                    // A consent change may have been missed.
                    if self.server.waits(id) {
                        self.handle(Input::Consent(id, view.consent));
                    }
                }
                _ => self.handle(Input::CallEnded(id)),
            }
        }
        if let Some(certificate) = &self.certificate
            && let Err(error) = certificate.reload()
        {
            tracing::warn!(%error, "TLS certificate not reloaded: the previous one stays in use");
        }
    }

    /// Ends sessions if requested, and waits briefly for the feed to carry that out.
    async fn end(&mut self, ending: Ending, decided: &mut mpsc::Receiver<Input>) {
        if ending == Ending::Leave {
            return;
        }
        self.handle(Input::EndAll);
        let until: MonoTime = self.clock.mono() + Duration::from_secs(2);
        while self.server.open_sessions() > 0 && self.clock.mono() < until {
            match tokio::time::timeout(Duration::from_millis(100), decided.recv()).await {
                Ok(Some(input)) => self.handle(input),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }
}
