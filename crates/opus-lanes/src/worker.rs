//! What the hooks see of a run: which task runs now on this thread, and how it waits.
//!
//! The thread's current [`Worker`] is all that is global.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use corosensei::Yielder;

use crate::clock::now_ns;

/// Tasks under way at a time. More fill the batches better, fewer stay in the cache.
pub(crate) const SLOTS: usize = 24;

/// What the hooks see of a run.
pub(crate) struct Worker {
    /// The slot that runs now.
    pub(crate) current: Cell<usize>,
    /// Slots whose tasks have not all ended.
    pub(crate) under_way: Cell<usize>,
    pub(crate) yielders: [Cell<*const Yielder<(), Wait>>; SLOTS],
    /// Time that the slots took for themselves before the current one went on. Units: ns.
    pub(crate) own_ns: [Cell<u64>; SLOTS],
    /// When the current slot went on. Units: ns.
    pub(crate) since_ns: Cell<u64>,
    /// How often the current task is held.
    pub(crate) held: Cell<u32>,
}

impl Worker {
    /// A worker of so many slots.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            current: Cell::new(0),
            under_way: Cell::new(slots),
            yielders: std::array::from_fn(|_| Cell::new(ptr::null())),
            own_ns: std::array::from_fn(|_| Cell::new(0)),
            since_ns: Cell::new(0),
            held: Cell::new(0),
        }
    }

    /// Suspends the current task until its call was run; `false` where there is none to wait for.
    pub(crate) fn wait(&self, wait: Wait) -> bool {
        // What is dropped while a panic unwinds must not let others run.
        if self.held.get() > 0 || self.under_way.get() < 2 || std::thread::panicking() {
            return false;
        }
        // SAFETY: the current slot's coroutine set it, and is what calls this.
        let yielder = unsafe { &*self.yielders[self.current.get()].get() };
        yielder.suspend(wait);
        true
    }

    /// Time of the current task. Units: ns.
    pub(crate) fn own_ns(&self) -> u64 {
        self.own_ns[self.current.get()].get() + now_ns() - self.since_ns.get()
    }
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// Makes a worker the thread's current one until this is dropped.
pub(crate) struct Entered(*const Worker);

impl Entered {
    /// `worker` outlives the value.
    pub(crate) fn new(worker: &Worker) -> Self {
        Self(CURRENT.replace(worker))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The thread's current worker.
pub(crate) fn current<'a>() -> Option<&'a Worker> {
    // SAFETY: a worker is current only while `run` borrows it, and this is called by what runs there.
    unsafe { CURRENT.get().as_ref() }
}

/// What a task waits for.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) kernel: Kernel,
    pub(crate) call: *mut c_void,
}

/// A kernel, and the size of what it works on: calls of the same are run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// With two states; by samples of a subframe.
    Quantiser(i32),
    /// With one state; by samples of a subframe.
    OneState(i32),
    /// By samples of the input.
    Warped(i32),
}
