//! The asking server with its sockets, as the application starts and stops it.
//!
//! In: addresses, settings, a [`Host`]. One task owns the sans-IO [`Server`]; what the host has done comes back
//! through a bounded queue. Queues: media events 65,536 (a dropped one ends its ask, which goes on unrecorded),
//! results 4,096 (the host's task waits).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::ask::outcome::Outcome;
use crate::ask::port::{AskId, Input, NewLeg, Output};
use crate::ask::server::Server;
use crate::ask::settings::{Prompts, Settings};
use crate::sip::sockets::{ARRIVED_QUEUE, Arrived, Links};
use crate::sip::tls::{Certificate, TlsFiles};
use crate::siprec::service::{Bound, Sockets};
use optag_core::call::{Department, GivenAnswer};
use optag_core::clock::Clock;
use optag_core::private::Private;
use optag_media::announce::AnnounceEvent;

/// Interval of the check for changed certificates, and of tidying up.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Capacity of the queue of results.
const RESULTS: usize = 4_096;
/// Capacity of the queue of media events.
const EVENTS: usize = 65_536;
/// How long a stop waits for callers who are being asked to be sent on.
const SENDING_ON: Duration = Duration::from_secs(2);

/// What the asking server needs of the recorder. Nothing here blocks.
pub trait Host: Send + Sync {
    /// Opens a leg; returns the address for the caller's packets. `None`: there are no ports.
    fn open(&self, id: AskId, leg: NewLeg) -> Option<SocketAddr>;
    /// Plays a prompt; false: it cannot be.
    fn play(&self, id: AskId, clip: u32, version: &str) -> bool;
    /// Plays nothing any more.
    fn quiet(&self, id: AskId);
    /// Closes a leg.
    fn close(&self, id: AskId);
    /// Keeps an answer for the call with this name; whether it is kept.
    fn keep(&self, name: Private<String>, answer: GivenAnswer) -> BoxFuture<'static, bool>;
    /// An ask is over, after this time beside prompts and the time to answer.
    fn ended(&self, outcome: Outcome, own_delay: Duration);
}

/// Takes media events to the server.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<(AskId, AnnounceEvent)>);

impl Events {
    /// A way for events, and its other end for [`AskServer::start_on`].
    pub fn channel() -> (Self, Arriving) {
        let (sender, receiver) = mpsc::channel(EVENTS);
        (Self(sender), Arriving(receiver))
    }

    /// Passes an event on. If the queue is full, it is dropped.
    pub fn send(&self, id: AskId, event: AnnounceEvent) {
        let _ = self.0.try_send((id, event));
    }
}

/// Where media events arrive.
#[derive(Debug)]
pub struct Arriving(mpsc::Receiver<(AskId, AnnounceEvent)>);

/// A running asking server.
#[derive(Debug)]
pub struct AskServer {
    bound: Bound,
    links: Arc<Links>,
    orders: mpsc::Sender<Order>,
    asks: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Accepting(bool),
    Change(Vec<Department>, Prompts),
    Stop(oneshot::Sender<()>),
}

impl AskServer {
    /// Starts on sockets that are already bound.
    ///
    /// Errors: certificates cannot be read.
    pub fn start_on(
        sockets: Sockets,
        tls_files: Option<TlsFiles>,
        settings: Settings,
        host: Arc<dyn Host>,
        arriving: Arriving,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let (arrived, arrivals) = mpsc::channel(ARRIVED_QUEUE);
        let sip = &settings.sip;
        let clients = sip.profiles.iter().fold(sip.clients.clone(), |all, one| all.with(&one.clients));
        let links = Links::new(clients, arrived);
        let certificate = tls_files.map(Certificate::load).transpose()?;
        let bound = sockets.serve(&links, certificate.as_ref())?;
        let (orders, ordered) = mpsc::channel(8);
        let (publish, asks) = watch::channel(0);
        let (results, decided) = mpsc::channel(RESULTS);
        let server = Server::new(settings, clock.mono());
        let keeping = HashMap::new();
        let shell =
            Shell { server, links: links.clone(), host, clock, results, certificate, publish, keeping };
        let task = tokio::spawn(shell.run(arrivals, arriving.0, decided, ordered));
        Ok(Self { bound, links, orders, asks, task })
    }

    /// The bound addresses.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The number of callers who are being asked, as it changes.
    pub fn asks(&self) -> watch::Receiver<usize> {
        self.asks.clone()
    }

    /// A reader of the number of messages dropped because a queue or buffer was full or the connection gone.
    pub fn dropped_messages(&self) -> impl Fn() -> u64 + Send + 'static {
        let links = Arc::clone(&self.links);
        move || links.dropped()
    }

    /// Takes other departments and prompts for asks that begin from now on.
    pub async fn change(&self, departments: Vec<Department>, prompts: Prompts) {
        // A server that has ended asks nobody.
        let _ = self.orders.send(Order::Change(departments, prompts)).await;
    }

    /// Sets whether callers are asked. The function returns false if the server is busy: try again.
    pub fn accepting_switch(&self) -> impl Fn(bool) -> bool + Send + 'static {
        let orders = self.orders.clone();
        move |accepting| orders.try_send(Order::Accepting(accepting)).is_ok()
    }

    /// Asks nobody any more, sends on whoever is being asked, and stops.
    pub async fn stop(self) {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Stop(tell)).await.is_ok() {
            let _ = told.await;
        }
        let _ = self.task.await;
        self.links.close();
    }
}

/// State of the server task.
struct Shell {
    server: Server,
    links: Arc<Links>,
    host: Arc<dyn Host>,
    clock: Arc<dyn Clock>,
    results: mpsc::Sender<Input>,
    certificate: Option<Arc<Certificate>>,
    publish: watch::Sender<usize>,
    /// The last answer of each ask that is being kept: the next waits for it.
    keeping: HashMap<AskId, JoinHandle<()>>,
}

impl Shell {
    async fn run(
        mut self,
        mut arrivals: mpsc::Receiver<Arrived>,
        mut events: mpsc::Receiver<(AskId, AnnounceEvent)>,
        mut decided: mpsc::Receiver<Input>,
        mut ordered: mpsc::Receiver<Order>,
    ) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping: Option<(oneshot::Sender<()>, optag_core::clock::MonoTime)> = None;
        loop {
            let now = self.clock.mono();
            let wait = self.server.next_timeout().map_or(LOOK_EVERY, |at| at.since(now).min(LOOK_EVERY));
            let wait = if stopping.is_some() { wait.min(Duration::from_millis(20)) } else { wait };
            tokio::select! {
                Some(arrived) = arrivals.recv() => {
                    let Arrived { flow, message, bytes } = arrived;
                    self.handle(Input::Received { flow, message, bytes, at: self.clock.wall() });
                }
                Some((id, event)) = events.recv() => self.handle(Input::Media(id, event)),
                Some(input) = decided.recv() => self.handle(input),
                Some(order) = ordered.recv() => match order {
                    Order::Accepting(accepting) => self.handle(Input::Accepting(accepting)),
                    Order::Change(departments, prompts) => self.handle(Input::Change(departments, prompts)),
                    Order::Stop(tell) => {
                        self.handle(Input::Stop);
                        stopping = Some((tell, self.clock.mono() + SENDING_ON));
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
            self.publish.send_replace(self.server.asks());
            if stopping.as_ref().is_some_and(|(_, until)| self.server.asks() == 0 || now >= *until) {
                if let Some((tell, _)) = stopping {
                    let _ = tell.send(());
                }
                return;
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.server.handle(self.clock.mono(), input, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(flow, bytes) => self.links.send(flow, bytes),
                Output::Open(id, leg) => {
                    let address = self.host.open(id, *leg);
                    self.handle(Input::Opened(id, address));
                }
                Output::Play(id, clip, version) => {
                    if !self.host.play(id, clip, &version) {
                        self.handle(Input::Media(id, AnnounceEvent::Failed));
                    }
                }
                Output::Quiet(id) => self.host.quiet(id),
                Output::Close(id) => self.host.close(id),
                Output::Keep(id, number, named) => {
                    let kept = self.host.keep(named.name, named.answer);
                    let (before, results) = (self.keeping.remove(&id), self.results.clone());
                    let task = tokio::spawn(async move {
                        if let Some(before) = before {
                            let _ = before.await;
                        }
                        let kept = kept.await;
                        let _ = results.send(Input::Kept(id, number, kept)).await;
                    });
                    self.keeping.insert(id, task);
                }
                Output::Ended(outcome, own_delay) => self.host.ended(outcome, own_delay),
            }
        }
    }

    fn look_around(&mut self) {
        self.keeping.retain(|_, task| !task.is_finished());
        if let Some(certificate) = &self.certificate
            && let Err(error) = certificate.reload()
        {
            tracing::warn!(%error, "TLS certificate not reloaded: the previous one stays in use");
        }
    }
}
