//! Many Opus encoders at a time: libopus as it is, but that its hot functions are run for several
//! streams at once, one a SIMD lane. The packets are those that libopus makes alone, to the bit.
//!
//! [`Lanes::run`] takes tasks, such as the calls of a tick. Each runs on a stack of its own; what it
//! does is up to it. Wherever it encodes by [`sys::opus_encode`], some of libopus' functions do not run
//! at once: the task waits there while others go on, until enough of them wait for the same function.
//! So there is no special case for rates, voicing, complexities or streams that come and go.
//!
//! Outside of `run`, and on processors without AVX2, [`sys`] is libopus as it is.

mod clock;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod hooks;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod lsf;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod ltp;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod quantiser;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod run;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod simd;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod stack;
pub mod sys;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod testing;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod trellis;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod warped;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod worker;

use std::any::Any;

/// How kernels are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// By libopus' own functions, one task after the other.
    Plain,
    /// Eight streams at once.
    Avx2,
    /// Sixteen streams at once.
    Avx512,
}

impl Path {
    /// The best of this processor.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Plain)
    }

    /// Those of this processor, the best one last.
    pub fn available() -> &'static [Self] {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma");
            let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            match (avx2, avx512) {
                (true, true) => &[Self::Plain, Self::Avx2, Self::Avx512],
                (true, false) => &[Self::Plain, Self::Avx2],
                _ => &[Self::Plain],
            }
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        &[Self::Plain]
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn width(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// Calls of caught functions since the lanes were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls for which a task waited.
    pub calls: u64,
    /// Batches in which they were run.
    pub batches: u64,
    /// Calls that were run again by libopus' own function, as their numbers are too large for lanes.
    pub redone: u64,
}

/// What a task panicked with.
pub type Panic = Box<dyn Any + Send>;

/// Stacks and room for kernels, for one thread at a time. They hold samples only while [`Lanes::run`]
/// runs, and are wiped at its end.
pub struct Lanes {
    path: Path,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    room: Option<Box<run::Room>>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(Path::best())
    }
}

impl Lanes {
    /// Lanes that run kernels by this path. Where the system has no room for stacks, they are plain.
    ///
    /// Panics: the processor does not have the path.
    pub fn new(path: Path) -> Self {
        assert!(Path::available().contains(&path), "this processor does not have {path:?}");
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            let room = (path != Path::Plain).then(run::Room::new).and_then(Result::ok).map(Box::new);
            Self { path: if room.is_some() { path } else { Path::Plain }, room }
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        Self { path }
    }

    /// How kernels are run.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Calls of caught functions since these lanes were made.
    pub fn counts(&self) -> Counts {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(room) = &self.room {
            return room.counts;
        }
        Counts::default()
    }

    /// Does `work` for each task, on this thread, and returns its results in the order of the tasks;
    /// a panic ends its own task alone.
    ///
    /// Tasks take turns, but only where they encode: no lock, no borrow of a cell that they share and
    /// no entered span may be held across that, unless by [`hold`]. A task has 512 KiB of stack.
    pub fn run<T, R>(
        &mut self,
        tasks: impl IntoIterator<Item = T>,
        work: impl Fn(T) -> R,
    ) -> Vec<Result<R, Panic>> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(room) = &mut self.room {
            return room.run(self.path, tasks.into_iter().collect(), &work);
        }
        let caught = |task| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(task)));
        tasks.into_iter().map(caught).collect()
    }
}

/// Keeps the current task from letting others go on, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    /// Not to be dropped on another thread.
    _here: std::marker::PhantomData<*const ()>,
}

/// Keeps the current task from letting others go on: what it encodes meanwhile, it encodes alone. For
/// code that encodes while it holds a lock, has borrowed a cell, or initialises what others wait for.
///
/// To be dropped by the task that asked for it, before the task ends.
pub fn hold() -> Hold {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(worker) = worker::current() {
        worker.held.set(worker.held.get() + 1);
    }
    Hold { _here: std::marker::PhantomData }
}

impl Drop for Hold {
    fn drop(&mut self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(worker) = worker::current() {
            worker.held.set(worker.held.get().saturating_sub(1));
        }
    }
}

/// A clock that stands still while the current task waits for others; what a kernel takes for several
/// tasks counts for each by its share. Only differences within a task mean something.
///
/// Units: ns.
pub fn own_time_ns() -> u64 {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(worker) = worker::current() {
        return worker.own_ns();
    }
    clock::now_ns()
}
