//! The scheduler of all legs: one thread, one tick of 20 ms. In: orders. Out: events, through a function.
//!
//! Queues: orders 8,192 (a full queue refuses an order, and whoever gave it ends the leg). The number of legs is
//! bounded by whoever opens them. A leg whose processing panics ends, and the others go on.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::announce::audio::PTIME_MS;
use crate::announce::leg::Leg;
use crate::announce::{AnnounceEvent, LegId, Order};
use crate::call::fault::caught;
use crate::dtmf::tone_listener::ToneSettings;
use crate::stats::{EngineStats, TickStats};
use optag_core::clock::{Clock, MonoTime};

/// Capacity of the queue of orders.
const ORDERS: usize = 8_192;
/// Time between two packets of a leg.
const TICK: Duration = Duration::from_millis(PTIME_MS as u64);
/// How far the schedule may fall behind before ticks are left out: receivers' jitter buffers are no longer.
const BEHIND: Duration = Duration::from_millis(100);

/// Receives events; must not block.
pub type EventSink = Box<dyn Fn(LegId, AnnounceEvent) + Send>;

/// The handle of the scheduler; dropping it ends the thread.
#[derive(Debug)]
pub struct Announcer {
    orders: Option<SyncSender<Order>>,
    stats: Arc<EngineStats>,
    thread: Option<JoinHandle<()>>,
}

/// The queue of orders is full, or the thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the announcer takes no orders")]
pub struct Refused;

impl Announcer {
    /// Starts the thread.
    ///
    /// Errors: the system gives no thread.
    pub fn start(clock: Arc<dyn Clock>, tones: ToneSettings, events: EventSink) -> io::Result<Self> {
        let (orders, ordered) = sync_channel(ORDERS);
        let stats = Arc::<EngineStats>::default();
        let schedule = Schedule { clock, tones, events, legs: HashMap::new(), stats: Arc::clone(&stats) };
        let thread = std::thread::Builder::new().name("announcer".into()).spawn(|| schedule.run(ordered))?;
        Ok(Self { orders: Some(orders), stats, thread: Some(thread) })
    }

    /// Gives an order.
    ///
    /// Errors: it is not taken.
    pub fn order(&self, order: Order) -> Result<(), Refused> {
        self.orders.as_ref().ok_or(Refused)?.try_send(order).map_err(|_| Refused)
    }

    /// Counters of all legs.
    pub fn stats(&self) -> TickStats {
        self.stats.read()
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Schedule {
    clock: Arc<dyn Clock>,
    tones: ToneSettings,
    events: EventSink,
    legs: HashMap<LegId, Leg>,
    stats: Arc<EngineStats>,
}

impl Schedule {
    fn run(mut self, ordered: Receiver<Order>) {
        let mut due: MonoTime = self.clock.mono();
        loop {
            loop {
                match ordered.try_recv() {
                    Ok(order) => self.take(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.legs.is_empty() {
                // Nothing to send: the next order sets the time.
                let Ok(order) = ordered.recv() else { return };
                self.take(order);
                due = self.clock.mono();
                continue;
            }
            let now = self.clock.mono();
            if now.since(due) > BEHIND {
                due = now;
            }
            self.tick(now);
            due = due + TICK;
            let wait = due.since(self.clock.mono());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Open(id, plan) => {
                self.legs.insert(id, Leg::new(*plan, self.tones));
            }
            Order::Play(id, clip, audio) => {
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.player().play(clip, audio);
                }
            }
            Order::Quiet(id) => {
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.player().quiet();
                }
            }
            Order::Close(id) => drop(self.legs.remove(&id)),
        }
    }

    fn tick(&mut self, now: MonoTime) {
        let Self { clock, events, legs, stats, .. } = self;
        let mut tick = TickStats::default();
        legs.retain(|&id, leg| {
            let worked = caught(|| leg.tick(&**clock, now, &mut tick, |event| events(id, event)));
            if worked.is_none() {
                tracing::error!("processing an announcement failed; the call goes on without it");
                events(id, AnnounceEvent::Failed);
            }
            worked.is_some()
        });
        stats.add(&tick);
    }
}
