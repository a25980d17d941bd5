//! The tick: every 100 ms one data-parallel pass over all calls on a pool of its own, or on the
//! tick's thread alone while that has the time. In: commands and what the sockets hold. Out: one
//! batch of facts a tick to the [`Sink`].
//!
//! A call is owned by one worker at a time and no lock is taken in the pass. A worker has many calls
//! under way: where they encode, they take turns (`opus_lanes`).

mod admission;
pub mod load_shedding;
mod request;
pub mod settings;
pub(crate) mod slot;
pub mod unsent;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rayon::prelude::*;

use super::call::{Call, CallSettings, CallState, Command, Now};
use super::stats::{CallGauges, Condition, EngineStats, TickStats};
use crate::call::fault;
use crate::call::output::{Fact, Output};
pub use crate::call::plan::{CallPlan, EngineError, JoiningStream, ResumePlan};
use crate::engine::load_shedding::LoadShedding;
pub use crate::engine::request::Reply;
use crate::engine::request::{Due, Request};
pub use crate::engine::settings::EngineConfig;
use crate::engine::slot::{Slot, side_by_side};
use crate::engine::unsent::Carried;
use crate::fact::EndedBy;
use crate::net::port_pool::StreamSockets;
use crate::net::socket::InheritedSocket;
use optag_core::clock::{BootId, Clock, MonoTime};
use optag_core::id::CallId;

/// Commands that may wait for a tick; more are refused.
const COMMANDS: usize = 16_384;
/// Facts other than audio that wait for a sink that refuses and at which no more calls are taken. What each call
/// has waiting is bounded (`carried`), so calls bound the rest.
const CARRIED: usize = 100_000;

/// Share of the time between ticks up to which the tick's thread makes one alone. To wake the
/// workers, and their search for more to do once they have done, takes several per cent of so
/// short a tick.
const ALONE: f64 = 0.5;

/// Calls that a worker takes at a time, at least: fewer would encode together less well.
const LEAST_SHARE: usize = 64;

/// Where a tick's facts go. Called on the tick thread; it must not wait long.
pub trait Sink: Send {
    /// Takes a batch.
    ///
    /// Errors: there is no room now; the batch comes back.
    fn push(&mut self, batch: Vec<Output>) -> Result<(), Vec<Output>>;
}

/// The running engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    requests: SyncSender<Request>,
    stats: Arc<EngineStats>,
    condition: Arc<Condition>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Engine {
    /// Starts the tick thread and its workers.
    ///
    /// Errors: the system gives no threads.
    pub fn start(
        config: EngineConfig,
        clock: Arc<dyn Clock>,
        sink: Box<dyn Sink>,
    ) -> Result<Self, EngineError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.workers)
            .thread_name(|n| format!("media-{n}"))
            .build()
            .map_err(|error| EngineError::Threads(error.to_string()))?;
        let (requests, inbox) = sync_channel(COMMANDS);
        let stats = Arc::new(EngineStats::default());
        let condition = Arc::new(Condition::default());
        let top = config.call.capture.opus.complexity;
        let runner = Runner {
            load_shedding: LoadShedding::new(top, config.adaptive_complexity, config.tick),
            condition: Arc::clone(&condition),
            config,
            clock,
            sink,
            pool,
            inbox,
            stats: Arc::clone(&stats),
            calls: Vec::new(),
            places: HashMap::new(),
            replies: Vec::new(),
            carried: Carried::default(),
            boot: BootId::current(),
            work: Duration::ZERO,
            may_spill: false,
        };
        let thread = std::thread::Builder::new()
            .name("media-tick".into())
            .spawn(move || fault::run_or_abort(|| runner.run()))
            .map_err(|error| EngineError::Threads(error.to_string()))?;
        Ok(Self { requests, stats, condition, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Takes a call in at the next tick.
    pub fn admit(&self, plan: CallPlan, reply: Reply) {
        self.send(Request::Admit(Box::new(plan), reply));
    }

    /// Lets a stream join a call at the next tick, behind those there are.
    pub fn join(&self, call: CallId, stream: JoiningStream, reply: Reply) {
        self.send(Request::Join(call, Box::new(stream), reply));
    }

    /// Goes on with a call. Load is no reason not to: it is a call in progress.
    pub fn resume(&self, plan: ResumePlan, reply: Reply) {
        self.send(Request::Resume(Box::new(plan), reply));
    }

    /// Asks something of a call at the next tick.
    pub fn control(&self, call: CallId, command: Command, reply: Reply) {
        self.send(Request::Control(call, command, reply));
    }

    /// Totals since the start.
    pub fn stats(&self) -> TickStats {
        self.stats.read()
    }

    /// How it stands, as of the last tick.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Ends every call, hands the last facts to the sink, and stops. Blocks.
    pub fn shutdown(&self) {
        // A full inbox empties within a tick, so this waits no longer than that.
        let _ = self.requests.send(Request::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// Leaves every call to the next program: hands the last facts to the sink, stops, and gives the
    /// calls' sockets, still open. Blocks.
    pub fn leave(&self) -> Vec<(u16, InheritedSocket)> {
        let (tell, told) = std::sync::mpsc::channel();
        let _ = self.requests.send(Request::Leave(tell));
        let sockets = told.recv().unwrap_or_default();
        self.shutdown();
        sockets
    }

    fn send(&self, request: Request) {
        let (request, error) = match self.requests.try_send(request) {
            Ok(()) => return,
            Err(TrySendError::Full(request)) => (request, EngineError::Full),
            Err(TrySendError::Disconnected(request)) => (request, EngineError::Stopped),
        };
        if let Request::Admit(_, reply)
        | Request::Join(_, _, reply)
        | Request::Resume(_, reply)
        | Request::Control(_, _, reply) = request
        {
            reply(Err(error));
        }
    }
}

/// The tick thread's own.
struct Runner {
    config: EngineConfig,
    clock: Arc<dyn Clock>,
    sink: Box<dyn Sink>,
    pool: rayon::ThreadPool,
    inbox: Receiver<Request>,
    stats: Arc<EngineStats>,
    calls: Vec<Slot>,
    places: HashMap<CallId, usize>,
    replies: Vec<(Reply, Result<CallState, EngineError>)>,
    carried: Carried,
    boot: Option<BootId>,
    load_shedding: LoadShedding,
    condition: Arc<Condition>,
    /// What the last tick would have taken one thread, at most.
    work: Duration,
    /// Whether the last call that asked to be taken in might be encoded later: then those in progress may, too.
    may_spill: bool,
}

impl Runner {
    fn run(mut self) {
        let mut next = self.clock.mono() + self.config.tick;
        loop {
            let due = self.wait_until(next);
            let started = self.clock.mono();
            let now = self.now();
            let Self { pool, calls, clock, .. } = &mut self;
            match due {
                Due::Tick => {}
                Due::Stop => {
                    pool.install(|| {
                        calls.par_iter_mut().for_each(|slot| slot.finish(&**clock, now, EndedBy::Shutdown))
                    });
                    return self.drain();
                }
                Due::Leave(tell) => {
                    pool.install(|| calls.par_iter_mut().for_each(|slot| slot.leave(&**clock, now)));
                    self.drain();
                    let _ = tell.send(self.calls.drain(..).flat_map(Slot::into_sockets).collect());
                    return;
                }
            }
            let workers = self.pool.current_num_threads() as u32;
            let alone = workers == 1 || self.work < self.config.tick.mul_f64(ALONE);
            self.tick(alone);
            let took = self.clock.mono().since(started);
            self.work = if alone { took } else { took * workers };
            let recording = self.count(Call::is_recording);
            self.load_shedding.ticked(self.work / workers, recording);
            self.give_way(recording);
            self.condition.publish(self.load_shedding.complexity(), self.load_shedding.load());
            self.condition.publish_rooms(self.rooms());
            self.condition.ticks.add(took);
            let overrun = u64::from(took > self.config.tick);
            self.stats.add(&TickStats {
                ticks: 1,
                tick_ns: took.as_nanos() as u64,
                tick_overruns: overrun,
                ..TickStats::default()
            });
            next = (next + self.config.tick).max(self.clock.mono());
        }
    }

    /// Takes requests until the tick is due, or there will be none.
    fn wait_until(&mut self, due: MonoTime) -> Due {
        loop {
            let left = due.since(self.clock.mono());
            match self.inbox.recv_timeout(left) {
                Ok(Request::Stop) | Err(RecvTimeoutError::Disconnected) => return Due::Stop,
                Ok(Request::Leave(tell)) => return Due::Leave(tell),
                Ok(Request::Admit(plan, reply)) => self.admit(*plan, reply),
                Ok(Request::Join(call, stream, reply)) => self.join(call, *stream, reply),
                Ok(Request::Resume(plan, reply)) => self.resume(*plan, reply),
                Ok(Request::Control(call, command, reply)) => self.control(call, command, reply),
                Err(RecvTimeoutError::Timeout) => return Due::Tick,
            }
        }
    }

    fn now(&self) -> Now {
        let (mono, wall) = self.clock.both();
        Now { mono, wall }
    }

    fn resume(&mut self, plan: ResumePlan, reply: Reply) {
        let now = self.clock.mono();
        let make = |settings| Call::resume(plan.resumption, settings, now);
        self.add_slot(make, plan.sockets, plan.gauges, reply);
    }

    fn add_slot(
        &mut self,
        make: impl FnOnce(CallSettings) -> Call,
        sockets: Vec<StreamSockets>,
        gauges: Arc<CallGauges>,
        reply: Reply,
    ) {
        // What was saved of a call is no reason to end the others.
        let Some(call) = fault::caught(|| make(self.config.call)) else {
            self.stats.add(&TickStats { call_faults: 1, ..TickStats::default() });
            return reply(Err(EngineError::Fault));
        };
        let state = call.state();
        self.places.insert(call.id(), self.calls.len());
        self.calls.push(Slot::new(call, sockets, gauges, self.boot));
        reply(Ok(state));
    }

    fn join(&mut self, id: CallId, stream: JoiningStream, reply: Reply) {
        let now = self.now();
        let Some(slot) = self.places.get(&id).map(|&place| &mut self.calls[place]) else {
            return reply(Err(EngineError::NoSuchCall));
        };
        let joined = slot.join(&*self.clock, now, stream.facts, stream.plan, stream.sockets);
        let answer = if joined { Ok(slot.call.state()) } else { Err(EngineError::NoMoreStreams) };
        self.replies.push((reply, answer));
    }

    fn control(&mut self, id: CallId, command: Command, reply: Reply) {
        let now = self.now();
        let Some(slot) = self.places.get(&id).map(|&place| &mut self.calls[place]) else {
            return reply(Err(EngineError::NoSuchCall));
        };
        let answer = slot.command(&*self.clock, now, command).map_err(EngineError::from);
        self.replies.push((reply, answer));
    }

    fn tick(&mut self, alone: bool) {
        let now = self.now();
        let complexity = self.load_shedding.complexity();
        let Self { pool, calls, clock, .. } = self;
        let tick = |slot: &mut Slot| slot.tick(&**clock, now, complexity);
        if alone {
            side_by_side(calls, tick);
        } else {
            let share = calls.len().div_ceil(2 * pool.current_num_threads()).max(LEAST_SHARE);
            pool.install(|| calls.par_chunks_mut(share).for_each(|share| side_by_side(share, tick)));
        }
        self.hand_over();
        self.forget_ended();
    }

    /// Gives the tick's facts to the sink, then answers whoever waited for them.
    fn hand_over(&mut self) {
        let (mut batch, merged) = self.carried.take();
        let mut total = TickStats { facts_merged: merged, ..TickStats::default() };
        for slot in &mut self.calls {
            batch.append(&mut slot.out);
            total = total.plus(std::mem::take(&mut slot.stats));
        }
        if !batch.is_empty()
            && let Err(back) = self.sink.push(batch)
        {
            total.sink_refused += 1;
            self.carry(back);
        }
        self.stats.add(&total);
        for (reply, answer) in self.replies.drain(..) {
            reply(answer);
        }
    }

    /// Keeps what is not audio for the next tick; audio is lost, and marked as such.
    fn carry(&mut self, back: Vec<Output>) {
        for output in back {
            let Fact::Media(block) = &output.fact else {
                self.carried.keep(output);
                continue;
            };
            if let Some(&place) = self.places.get(&output.call) {
                self.calls[place].call.not_spooled(block.first_frame, block.frames());
            }
        }
    }

    fn forget_ended(&mut self) {
        let mut place = 0;
        while place < self.calls.len() {
            if !self.calls[place].call.is_ended() {
                place += 1;
                continue;
            }
            let gone = self.calls.swap_remove(place);
            self.places.remove(&gone.call.id());
            if let Some(moved) = self.calls.get(place) {
                self.places.insert(moved.call.id(), place);
            }
        }
    }

    /// The last facts: the sink is asked until it takes them, for a bounded time.
    fn drain(&mut self) {
        for _ in 0..50 {
            self.hand_over();
            if self.carried.waiting() == 0 {
                return;
            }
            std::thread::sleep(self.config.tick);
        }
        tracing::error!(facts = self.carried.waiting(), "the last facts could not be handed over");
    }
}
