//! Explores every interleaving of an erasure with a delivery, a playback, a hold, a crash, a store outage and a
//! restored backup. The steps are the real ones ([`Eraser`], [`DeletionLog`], the lock per recording); store, index and
//! spool are in-memory doubles that yield at each request. The explorer visits all
//! schedules depth first, each from the start; after every step it checks that nothing erased is served, and at the
//! end that nothing of it is left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::erasure::deletion_log::{Cause, DeletionLog, Done, Order};
use crate::erasure::holds::Hold;
use crate::erasure::steps::{Copies, EraseError, Eraser, Orders, Progress, Rows, SpoolKeys};
use crate::index::IndexError;
use crate::stores::recording_lock::RecordingLocks;
use optag_core::clock::WallTime;
use optag_core::id::CallId;
use optag_storage::store::StoreError;
use optag_storage::store::names;
use optag_storage::store::remains::{Look, Sought, Stored};
use optag_storage::store::versions::{CopyKind, StoredCopy};

/// State outside the process: survives a crash.
#[derive(Clone, Debug, Default)]
struct World {
    objects: BTreeSet<String>,
    /// An upload whose request has been sent; it may arrive after its sender died.
    in_flight: BTreeSet<String>,
    row: bool,
    spool_key: bool,
    store_away: bool,
    /// Objects that arrived since the last scan of the store: no scan can have seen them.
    since_looked: BTreeSet<String>,
    /// The row reappeared after it was reduced.
    row_since: bool,
    /// Number of deletions that are acknowledged but not carried out.
    deletes_lie: usize,
    /// Copies found by the erasure so far.
    found: Vec<String>,
}

impl World {
    fn arrive(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.since_looked.insert(name.clone());
            self.objects.insert(name);
        }
    }
}

type Shared = Arc<Mutex<World>>;

/// Yields once, so that any other task may run.
async fn gap() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the nodes decide together, a transaction at a time.
#[derive(Debug, Default)]
struct Table {
    held: bool,
    ordered: bool,
    /// The node that recorded the call has nothing of it.
    spool_clear: bool,
}

/// A node.
#[derive(Clone)]
struct Twin {
    world: Shared,
    table: Arc<Mutex<Table>>,
    log: Arc<DeletionLog>,
    /// Whether the spool of the world is this node's.
    recorded: bool,
}

impl Twin {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> Result<(), StoreError> {
        match self.world().store_away {
            true => Err(StoreError::Transient("away".into())),
            false => Ok(()),
        }
    }
}

impl Orders for Twin {
    fn order(&self, order: Order) -> BoxFuture<'_, Result<(), EraseError>> {
        async move {
            gap().await;
            {
                let mut table = self.table();
                if table.held {
                    return Err(EraseError::Held(Box::new(hold(order.id))));
                }
                table.ordered = true;
            }
            gap().await;
            Ok(self.log.order(order)?)
        }
        .boxed()
    }

    fn done(&self, done: Done) -> BoxFuture<'_, Result<(), EraseError>> {
        async move {
            gap().await;
            // The state at certification counts, not what a later pass repairs.
            let world = self.world().clone();
            let unseen: Vec<_> = world.objects.difference(&world.since_looked).collect();
            assert!(unseen.is_empty(), "certified while {unseen:?} is there");
            assert!(!world.row || world.row_since, "certified while the row has everything");
            assert!(!world.spool_key, "certified while the spool can be read");
            Ok(self.log.completed(done)?)
        }
        .boxed()
    }
}

impl SpoolKeys for Twin {
    fn destroy(&self, _: CallId) -> BoxFuture<'_, Result<(), String>> {
        async move {
            gap().await;
            if self.recorded {
                self.world().spool_key = false;
            }
            Ok(())
        }
        .boxed()
    }

    fn is_clear_elsewhere(&self, _: CallId, _: Cause) -> BoxFuture<'_, Result<(), String>> {
        async move {
            if self.recorded {
                return Ok(());
            }
            gap().await;
            if self.table().spool_clear { Ok(()) } else { Err("not confirmed".into()) }
        }
        .boxed()
    }
}

impl Copies for Twin {
    fn place(&self) -> String {
        "twin".into()
    }

    fn look<'a>(&'a self, sought: &'a Sought) -> BoxFuture<'a, Result<Look, StoreError>> {
        async move {
            gap().await;
            self.answers()?;
            let mut world = self.world();
            world.since_looked.clear();
            let there = world.objects.iter().filter(|name| name.starts_with(&sought.stem));
            let copy = |key: &String| StoredCopy {
                key: key.clone(),
                version: None,
                kind: CopyKind::Object,
                bytes: 1,
                stored_at: None,
            };
            Ok(Look { found: there.map(copy).collect(), ..Look::default() })
        }
        .boxed()
    }

    fn delete<'a>(&'a self, copy: &'a StoredCopy) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            gap().await;
            self.answers()?;
            let mut world = self.world();
            match world.deletes_lie {
                0 => drop(world.objects.remove(&copy.key)),
                _ => world.deletes_lie -= 1,
            }
            Ok(())
        }
        .boxed()
    }
}

impl Progress for Twin {
    fn found(&self, _: CallId) -> BoxFuture<'_, Result<Vec<String>, String>> {
        async move { Ok(self.world().found.clone()) }.boxed()
    }

    fn note<'a>(&'a self, _: CallId, found: &'a [String]) -> BoxFuture<'a, Result<(), String>> {
        async move {
            self.world().found = found.to_vec();
            Ok(())
        }
        .boxed()
    }

    fn accepts_missing(&self, _: CallId) -> BoxFuture<'_, Result<bool, String>> {
        async { Ok(false) }.boxed()
    }

    fn forget(&self, _: CallId) -> BoxFuture<'_, Result<(), String>> {
        async move {
            self.world().found.clear();
            Ok(())
        }
        .boxed()
    }
}

impl Rows for Twin {
    fn delivered(&self, _: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>> {
        async move { Ok(self.world().row.then(Stored::default)) }.boxed()
    }

    fn begun(&self, _: CallId) -> BoxFuture<'_, Result<Option<Stored>, IndexError>> {
        async { Ok(None) }.boxed()
    }

    fn reduce(&self, _: CallId, _: Cause, _: WallTime) -> BoxFuture<'_, Result<(), IndexError>> {
        async move {
            gap().await;
            (self.world().row, self.world().row_since) = (false, false);
            Ok(())
        }
        .boxed()
    }
}

/// One run's tasks and what they observed.
struct Run {
    id: CallId,
    twin: Twin,
    turns: Rc<RecordingLocks>,
    /// The node that recorded the call, where that is another one, and its locks.
    other: Option<(Twin, Rc<RecordingLocks>)>,
    /// Bytes were served although an erasure had been acknowledged before the request.
    served_erased: Rc<Cell<bool>>,
    acknowledged: Rc<Cell<bool>>,
    held: Rc<RefCell<Option<bool>>>,
    _dir: tempfile::TempDir,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

impl Run {
    /// A recording in the spool, not delivered yet.
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let at = WallTime::from_unix_micros(1_700_000_000_000_000);
        let twin = Twin {
            world: Arc::new(Mutex::new(World { spool_key: true, ..World::default() })),
            log: Arc::new(DeletionLog::open(&dir.path().join("deletions")).unwrap()),
            table: Arc::default(),
            recorded: true,
        };
        Self {
            id: CallId::new_at(at),
            twin,
            turns: Rc::default(),
            other: None,
            served_erased: Rc::default(),
            acknowledged: Rc::default(),
            held: Rc::default(),
            _dir: dir,
        }
    }

    /// The same, recorded by another node than the one that erases.
    fn recorded_elsewhere() -> Self {
        let mut run = Self::new();
        let log = Arc::new(DeletionLog::open(&run._dir.path().join("other")).unwrap());
        run.other = Some((Twin { log, ..run.twin.clone() }, Rc::default()));
        run.twin.recorded = false;
        run
    }

    /// The node that recorded the call.
    fn recorder(&self) -> (Twin, Rc<RecordingLocks>) {
        self.other.clone().unwrap_or_else(|| (self.twin.clone(), Rc::clone(&self.turns)))
    }

    /// As `EraseService::learn_orders` of the node that recorded the call.
    fn learn(&self) -> Task {
        let ((twin, turns), id) = (self.recorder(), self.id);
        Box::pin(async move {
            gap().await;
            if !twin.table().ordered {
                return;
            }
            twin.log.order(order(id)).unwrap();
            gap().await;
            twin.world().spool_key = false;
            let _turn = turns.lock(id).await;
            gap().await;
            twin.table().spool_clear = true;
        })
    }

    fn delivered(self) -> Self {
        {
            let mut world = self.twin.world();
            world.arrive(names(self.id));
            (world.row, world.spool_key) = (true, false);
        }
        self
    }

    /// As in `delivery`: excludes erasures, and does nothing after an order; objects one by one, then the row, then
    /// the key.
    fn deliver(&self) -> Task {
        let ((twin, turns), id) = (self.recorder(), self.id);
        Box::pin(async move {
            let _turn = turns.lock(id).await;
            if !twin.log.is_erased(id) && !twin.table().ordered && twin.world().spool_key {
                for name in names(id) {
                    gap().await;
                    if twin.answers().is_err() {
                        return;
                    }
                    twin.world().in_flight.insert(name.clone());
                    gap().await;
                    let mut world = twin.world();
                    if world.in_flight.remove(&name) {
                        world.arrive([name]);
                    }
                }
                gap().await;
                if !twin.table().ordered {
                    gap().await;
                    twin.world().row = true;
                }
            }
            gap().await;
            twin.world().spool_key = false;
        })
    }

    /// As `EraseService`: the order at once, the rest under the recording's lock.
    fn erase(&self) -> Task {
        let (twin, turns, id) = (self.twin.clone(), Rc::clone(&self.turns), self.id);
        let acknowledged = Rc::clone(&self.acknowledged);
        Box::pin(async move {
            let eraser = Eraser { log: &twin, keys: &twin, store: &twin, index: &twin, progress: &twin };
            if eraser.order(order(id)).await.is_err() {
                return;
            }
            acknowledged.set(true);
            let _turn = turns.lock(id).await;
            let _ = eraser.complete(id, Cause::Request, id.admitted_at()).await;
        })
    }

    /// As `recordings::playback`: checks the log, then reads the row, then the store.
    fn play(&self) -> Task {
        let (twin, id) = (self.twin.clone(), self.id);
        let (served, acknowledged) = (Rc::clone(&self.served_erased), Rc::clone(&self.acknowledged));
        Box::pin(async move {
            let erased_when_asked = acknowledged.get();
            if twin.log.is_erased(id) {
                return;
            }
            gap().await;
            if !twin.world().row {
                return;
            }
            gap().await;
            if twin.world().objects.contains(&names(id)[0]) && erased_when_asked {
                served.set(true);
            }
        })
    }

    fn hold(&self) -> Task {
        let (twin, held) = (self.twin.clone(), Rc::clone(&self.held));
        Box::pin(async move {
            gap().await;
            let mut table = twin.table();
            table.held = !table.ordered;
            *held.borrow_mut() = Some(table.held);
        })
    }

    /// The store becomes unavailable and available again.
    fn outage(&self) -> Task {
        let twin = self.twin.clone();
        Box::pin(async move {
            gap().await;
            twin.world().store_away = true;
            gap().await;
            twin.world().store_away = false;
        })
    }

    /// The store acknowledges a deletion without carrying it out.
    fn lie(&self) -> Task {
        let twin = self.twin.clone();
        Box::pin(async move {
            gap().await;
            twin.world().deletes_lie += 1;
        })
    }

    /// A backup of store and index is taken, and restored later.
    fn restore(&self) -> Task {
        let twin = self.twin.clone();
        Box::pin(async move {
            let backup = twin.world().clone();
            gap().await;
            let mut world = twin.world();
            let returned: Vec<String> = backup.objects.difference(&world.objects).cloned().collect();
            world.objects.retain(|name| backup.objects.contains(name));
            world.arrive(returned);
            (world.row, world.row_since) = (backup.row, backup.row);
        })
    }

    /// What follows every run: the process restarts where it died; uploads under way arrive; the sweeper runs until
    /// nothing is open.
    fn settle(&self) {
        let world = Arc::clone(&self.twin.world);
        world.lock().unwrap().store_away = false;
        let late: Vec<String> = std::mem::take(&mut world.lock().unwrap().in_flight).into_iter().collect();
        let mut late = Some(late);
        for round in 0..4 {
            // As `EraseService::learn_orders` at the start.
            finish(self.learn());
            if self.twin.table().ordered {
                self.twin.log.order(order(self.id)).unwrap();
            }
            let spooled = world.lock().unwrap().spool_key;
            if spooled {
                finish(self.deliver());
            }
            self.complete_open();
            if round == 1 {
                world.lock().unwrap().arrive(late.take().unwrap_or_default());
            }
            // As `sweeper`: erased recordings that are present again are erased again.
            let there = !world.lock().unwrap().objects.is_empty() || world.lock().unwrap().row;
            if there && self.twin.log.is_erased(self.id) {
                let before = self.twin.log.history(self.id).unwrap();
                if let Some((_, Some(done))) = before {
                    world.lock().unwrap().found = done.gone;
                }
                self.twin.log.reopen(order(self.id)).unwrap();
                self.complete_open();
            }
        }
    }

    fn complete_open(&self) {
        for order in self.twin.log.open_orders() {
            let twin = self.twin.clone();
            finish(Box::pin(async move {
                let eraser = Eraser { log: &twin, keys: &twin, store: &twin, index: &twin, progress: &twin };
                let completed = eraser.complete(order.id, order.cause, order.at).await;
                // Until the other node has said that it has nothing.
                assert!(completed.is_ok() || !twin.recorded, "{:?}", completed.err());
            }));
        }
    }

    /// Checks what must hold at the end.
    fn check(&self, schedule: &[usize]) -> bool {
        let world = self.twin.world().clone();
        assert!(!self.served_erased.get(), "{schedule:?}: served after the erasure was acknowledged");
        let held = *self.held.borrow() == Some(true);
        let erased = self.twin.log.is_erased(self.id);
        assert!(!(held && erased), "{schedule:?}: held and erased at a time");
        if self.acknowledged.get() {
            assert!(erased, "{schedule:?}: an acknowledged erasure is not in the log");
        }
        if erased {
            assert!(world.objects.is_empty() && !world.row && !world.spool_key, "{schedule:?}: {world:?}");
            assert!(self.twin.log.open_orders().is_empty(), "{schedule:?}");
        } else {
            assert_eq!(
                world.objects.len(),
                2,
                "{schedule:?}: a recording that nobody erased is gone: {world:?}"
            );
        }
        erased
    }
}

fn order(id: CallId) -> Order {
    Order { id, at: id.admitted_at(), cause: Cause::Request, request: Some("4711".into()) }
}

fn hold(id: CallId) -> Hold {
    let at = id.admitted_at();
    Hold { id, until: at.plus_days(30), reason: "case".into(), lawful_basis: None, by: "ada".into(), at }
}

fn names(id: CallId) -> [String; 2] {
    [format!("{}.opus", names::stem(id)), format!("{}.json", names::stem(id))]
}

fn finish(mut task: Task) {
    let mut context = Context::from_waker(Waker::noop());
    while task.as_mut().poll(&mut context).is_pending() {}
}

/// Whether a task can proceed.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// Visits every schedule of the tasks made by `begin`. With `crashes`, the process also dies before each step: its
/// tasks are dropped, world and log remain. Returns the number of schedules, and of those in which the recording was
/// erased.
fn explore(crashes: bool, begin: impl Fn() -> (Run, Vec<Task>)) -> (u64, u64) {
    let (mut explored, mut erased) = (0, 0);
    // The choice made at each step of the current schedule, and the number of choices.
    let mut path: Vec<(usize, usize)> = Vec::new();
    loop {
        let (run, tasks) = begin();
        let mut tasks: Vec<(Task, Arc<Ready>)> =
            tasks.into_iter().map(|task| (task, Arc::new(Ready(AtomicBool::new(true))))).collect();
        let mut schedule = Vec::new();
        for step in 0.. {
            // A task that waits for another is not ready until the other ends.
            let ready: Vec<usize> = (0..tasks.len()).filter(|&n| tasks[n].1.0.load(Relaxed)).collect();
            if ready.is_empty() {
                assert!(tasks.is_empty(), "{schedule:?}: deadlock");
                break;
            }
            let choices = ready.len() + usize::from(crashes);
            if path.len() == step {
                path.push((0, choices));
            }
            let choice = path[step].0;
            schedule.push(choice);
            let Some(&n) = ready.get(choice) else {
                // The process dies here.
                break;
            };
            let (task, is_ready) = &mut tasks[n];
            is_ready.0.store(false, Relaxed);
            let waker = Waker::from(Arc::clone(is_ready));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(tasks.remove(n));
            }
        }
        drop(tasks);
        path.truncate(schedule.len());
        run.settle();
        erased += u64::from(run.check(&schedule));
        explored += 1;
        while path.last().is_some_and(|(choice, choices)| choice + 1 == *choices) {
            path.pop();
        }
        match path.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return (explored, erased),
        }
    }
}

/// As [`explore`], of `count` schedules drawn at random; each may end in a crash.
fn sample(count: u64, begin: impl Fn() -> (Run, Vec<Task>)) -> (u64, u64) {
    // Source: Marsaglia, "Xorshift RNGs", 2003.
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut erased = 0;
    for n in 0..count {
        let (run, tasks) = begin();
        let mut tasks: Vec<(Task, Arc<Ready>)> =
            tasks.into_iter().map(|task| (task, Arc::new(Ready(AtomicBool::new(true))))).collect();
        let mut schedule = Vec::new();
        loop {
            let ready: Vec<usize> = (0..tasks.len()).filter(|&n| tasks[n].1.0.load(Relaxed)).collect();
            // One schedule in three dies at some step.
            if ready.is_empty() || n % 3 == 0 && draw(20) == 0 {
                break;
            }
            let chosen = ready[draw(ready.len())];
            schedule.push(chosen);
            let (task, is_ready) = &mut tasks[chosen];
            is_ready.0.store(false, Relaxed);
            let waker = Waker::from(Arc::clone(is_ready));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                drop(tasks.remove(chosen));
            }
        }
        drop(tasks);
        run.settle();
        erased += u64::from(run.check(&schedule));
    }
    (count, erased)
}

fn report(what: &str, (explored, erased): (u64, u64)) -> u64 {
    println!("{what}: {explored} interleavings, erased in {erased}, 0 resurrections");
    assert!(explored > 10 && erased > 0, "{what}: {explored}, {erased}");
    explored
}

/// Explores the tasks made by `tasks` for a recording that is `delivered` or still in the spool.
fn all(what: &str, delivered: bool, crashes: bool, tasks: impl Fn(&Run) -> Vec<Task>) -> u64 {
    let begin = || {
        let run = if delivered { Run::new().delivered() } else { Run::new() };
        let tasks = tasks(&run);
        (run, tasks)
    };
    report(what, explore(crashes, begin))
}

#[test]
fn invariant_07_no_order_of_an_erasure_and_a_delivery_brings_anything_back() {
    all("erasure, delivery, crash", false, true, |run| vec![run.erase(), run.deliver()]);
}

#[test]
fn invariant_07_nobody_is_served_what_was_acknowledged_as_erased() {
    all("erasure, playback, crash", true, true, |run| vec![run.erase(), run.play()]);
}

#[test]
fn invariant_07_a_hold_and_an_erasure_never_both_succeed() {
    all("erasure, legal hold, crash", true, true, |run| vec![run.erase(), run.hold()]);
}

#[test]
fn invariant_07_a_store_that_goes_away_and_comes_back_keeps_nothing() {
    all("erasure, outage of the store, crash", true, true, |run| vec![run.erase(), run.outage()]);
}

#[test]
fn invariant_16_no_order_of_an_erasure_and_the_delivery_of_another_node_brings_anything_back() {
    let begin = || {
        let run = Run::recorded_elsewhere();
        let tasks = vec![run.erase(), run.deliver(), run.learn()];
        (run, tasks)
    };
    report("erasure, delivery by another node that learns of it", sample(20_000, begin));
}

#[test]
fn invariant_08_nothing_is_certified_by_a_deletion_that_the_store_only_acknowledged() {
    all("erasure, deletions that lie, crash", true, true, |run| vec![run.erase(), run.lie(), run.lie()]);
}

#[test]
fn invariant_07_a_restored_backup_brings_nothing_back() {
    all("erasure, restored backup, crash", true, true, |run| vec![run.erase(), run.restore()]);
}

#[test]
#[ignore = "minutes: some 10^5 interleavings of three and more"]
fn invariant_07_no_order_of_three_and_more_brings_anything_back() {
    let explored = [
        all("erasure, delivery, outage", false, false, |run| vec![run.erase(), run.deliver(), run.outage()]),
        all("erasure, two playbacks, crash", true, true, |run| vec![run.erase(), run.play(), run.play()]),
        all("erasure, hold, playback, crash", true, true, |run| vec![run.erase(), run.hold(), run.play()]),
        all("erasure, restore, playback, crash", true, true, |run| {
            vec![run.erase(), run.restore(), run.play()]
        }),
        all("two erasures, delivery", false, false, |run| vec![run.erase(), run.erase(), run.deliver()]),
    ];
    println!("{} interleavings in all", explored.iter().sum::<u64>());
}
