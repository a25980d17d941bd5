//! Tasks as coroutines on one thread: each runs until it comes to a caught function; when none can go
//! on, the function that most of them wait for is run for all of those at once.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::clock::now_ns;
use crate::quantiser::{
    self, Quantiser, quantise_avx2, quantise_avx512, quantise_one_avx2, quantise_one_avx512,
};
use crate::stack::TaskStack;
use crate::warped::{self, Warped, warped_avx2, warped_avx512};
use crate::worker::{Entered, Kernel, SLOTS, Wait, Worker};
use crate::{Counts, Panic, Path};

unsafe extern "C" {
    fn opus_lanes_plain_quantiser(call: *mut Quantiser);
    fn opus_lanes_plain_one_state(call: *mut Quantiser);
    fn opus_lanes_plain_warped(call: *mut Warped);
}

/// Stacks and scratch of one thread.
pub(crate) struct Room {
    pub(crate) counts: Counts,
    stacks: Vec<TaskStack>,
    quantiser: Box<quantiser::Scratch>,
    warped: Box<warped::Scratch>,
}

/// By the place of the task; none yet where it has not ended.
type Results<R> = Vec<Option<Result<R, Panic>>>;

/// What the tasks' coroutines share.
struct Tasks<'a, T, R, F> {
    waiting: Cell<Vec<(usize, T)>>,
    results: Cell<Results<R>>,
    work: &'a F,
}

/// Ends the process where the scheduler itself fails: libopus' frames on the tasks' stacks cannot be
/// unwound.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

impl Room {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            counts: Counts::default(),
            stacks: (0..SLOTS).map(|_| TaskStack::new()).collect::<Result<_, _>>()?,
            quantiser: quantiser::Scratch::new(),
            warped: warped::Scratch::new(),
        })
    }

    pub(crate) fn run<T, R, F: Fn(T) -> R>(
        &mut self,
        path: Path,
        tasks: Vec<T>,
        work: &F,
    ) -> Vec<Result<R, Panic>> {
        let count = tasks.len();
        let mut waiting: Vec<_> = tasks.into_iter().enumerate().collect();
        waiting.reverse();
        let tasks = Tasks {
            waiting: Cell::new(waiting),
            results: Cell::new((0..count).map(|_| None).collect()),
            work,
        };
        let used = self.stacks.len().min(count);
        let worker = Worker::new(used);
        let entered = Entered::new(&worker);
        let guard = AbortOnPanic;
        let mut slots: Vec<_> = self
            .stacks
            .drain(..used)
            .enumerate()
            .map(|(slot, stack)| {
                let shared: *const () = ptr::from_ref(&tasks).cast();
                let worker: *const Worker = &worker;
                let body: unsafe fn(*const (), *const Worker, usize, &Yielder<(), Wait>) = body::<T, R, F>;
                // SAFETY: tasks and worker outlive the coroutines, which all end below.
                Coroutine::with_stack(stack, move |yielder: &Yielder<(), Wait>, ()| unsafe {
                    body(shared, worker, slot, yielder);
                })
            })
            .collect();
        self.drive(path, &worker, &mut slots);
        std::mem::forget(guard);
        drop(entered);
        for slot in slots {
            let mut stack = slot.into_stack();
            stack.wipe();
            self.stacks.push(stack);
        }
        self.quantiser.wipe();
        self.warped.wipe();
        tasks.results.into_inner().into_iter().map(|result| result.expect("every task has run")).collect()
    }

    fn drive(&mut self, path: Path, worker: &Worker, slots: &mut [Coroutine<(), Wait, (), TaskStack>]) {
        let mut queue: Vec<(usize, Wait)> = Vec::with_capacity(slots.len());
        let mut clock = now_ns();
        for slot in 0..slots.len() {
            go_on(worker, slots, slot, &mut queue, &mut clock);
        }
        let mut batch: Vec<(usize, Wait)> = Vec::with_capacity(slots.len());
        while let Some(kernel) = most_wanted(&queue) {
            let width = path.width();
            batch.clear();
            queue.retain(|entry| {
                let taken = batch.len() < width && entry.1.kernel == kernel;
                if taken {
                    batch.push(*entry);
                }
                !taken
            });
            self.execute(path, kernel, &batch);
            let after = now_ns();
            let share = (after - clock) / batch.len() as u64;
            clock = after;
            for &(slot, _) in &batch {
                worker.own_ns[slot].set(worker.own_ns[slot].get() + share);
                go_on(worker, slots, slot, &mut queue, &mut clock);
            }
        }
    }

    /// Has libopus' own function do the calls whose bits are set.
    ///
    /// # Safety
    /// Suspended tasks wait for these calls, which are of that function.
    unsafe fn redo(
        &mut self,
        calls: &[*mut Quantiser],
        unfit: u32,
        plain: unsafe extern "C" fn(*mut Quantiser),
    ) {
        for (_, &call) in calls.iter().enumerate().filter(|(n, _)| unfit & 1 << n != 0) {
            self.counts.redone += u64::from(calls.len() > 1);
            // SAFETY: the caller's promise.
            unsafe { plain(call) };
        }
    }

    fn execute(&mut self, path: Path, kernel: Kernel, batch: &[(usize, Wait)]) {
        self.counts.calls += batch.len() as u64;
        self.counts.batches += 1;
        match kernel {
            Kernel::Quantiser(subframe) => {
                let calls = &pointers::<Quantiser>(batch)[..batch.len()];
                // SAFETY: suspended tasks wait for these calls; the path is one of this processor's.
                unsafe {
                    let unfit = match (path, subframe) {
                        _ if calls.len() == 1 => 1,
                        (Path::Avx512, 40) if calls.len() > 8 => {
                            quantise_avx512::<40, 10>(&mut self.quantiser, calls)
                        }
                        (Path::Avx512, 80) if calls.len() > 8 => {
                            quantise_avx512::<80, 16>(&mut self.quantiser, calls)
                        }
                        (_, 40) => quantise_avx2::<40, 10>(&mut self.quantiser, calls),
                        (_, 80) => quantise_avx2::<80, 16>(&mut self.quantiser, calls),
                        _ => u32::MAX,
                    };
                    self.redo(calls, unfit, opus_lanes_plain_quantiser);
                }
            }
            Kernel::OneState(subframe) => {
                let calls = &pointers::<Quantiser>(batch)[..batch.len()];
                // SAFETY: suspended tasks wait for these calls; the path is one of this processor's.
                unsafe {
                    let z = &mut self.quantiser;
                    let unfit = match (path, subframe) {
                        _ if calls.len() == 1 => 1,
                        (Path::Avx512, 40) if calls.len() > 8 => quantise_one_avx512::<40, 10>(z, calls),
                        (Path::Avx512, 80) if calls.len() > 8 => quantise_one_avx512::<80, 16>(z, calls),
                        (_, 40) => quantise_one_avx2::<40, 10>(z, calls),
                        (_, 80) => quantise_one_avx2::<80, 16>(z, calls),
                        _ => u32::MAX,
                    };
                    self.redo(calls, unfit, opus_lanes_plain_one_state);
                }
            }
            Kernel::Warped(_) => {
                let calls = &pointers::<Warped>(batch)[..batch.len()];
                // SAFETY: suspended tasks wait for these calls; the path is one of this processor's.
                unsafe {
                    match (path, warped::fused()) {
                        (Path::Plain, _) | (_, None) => {
                            calls.iter().for_each(|&call| opus_lanes_plain_warped(call))
                        }
                        _ if calls.len() == 1 => opus_lanes_plain_warped(calls[0]),
                        (Path::Avx512, Some(true)) if calls.len() > 4 => {
                            warped_avx512::<true>(&mut self.warped, calls)
                        }
                        (Path::Avx512, Some(false)) if calls.len() > 4 => {
                            warped_avx512::<false>(&mut self.warped, calls)
                        }
                        (_, Some(true)) => warped_avx2::<true>(&mut self.warped, calls),
                        (_, Some(false)) => warped_avx2::<false>(&mut self.warped, calls),
                    }
                }
            }
        }
    }
}

/// What the tasks of a batch call, at most 16.
fn pointers<T>(batch: &[(usize, Wait)]) -> [*mut T; 16] {
    let mut calls = [ptr::null_mut(); 16];
    calls.iter_mut().zip(batch).for_each(|(call, (_, wait))| *call = wait.call.cast());
    calls
}

/// Runs a slot until it waits or has ended.
fn go_on(
    worker: &Worker,
    slots: &mut [Coroutine<(), Wait, (), TaskStack>],
    slot: usize,
    queue: &mut Vec<(usize, Wait)>,
    clock: &mut u64,
) {
    worker.current.set(slot);
    worker.since_ns.set(*clock);
    match slots[slot].resume(()) {
        CoroutineResult::Yield(wait) => queue.push((slot, wait)),
        CoroutineResult::Return(()) => worker.under_way.set(worker.under_way.get() - 1),
    }
    let now = now_ns();
    worker.own_ns[slot].set(worker.own_ns[slot].get() + now - *clock);
    *clock = now;
}

/// The kernel that most tasks wait for.
fn most_wanted(queue: &[(usize, Wait)]) -> Option<Kernel> {
    let count = |kernel| queue.iter().filter(|(_, wait)| wait.kernel == kernel).count();
    queue.iter().map(|(_, wait)| wait.kernel).max_by_key(|&kernel| count(kernel))
}

/// What a slot does: one task after another.
///
/// # Safety
/// `tasks` is a `Tasks<T, R, F>`; both pointers are valid until the coroutine has ended.
unsafe fn body<T, R, F: Fn(T) -> R>(
    tasks: *const (),
    worker: *const Worker,
    slot: usize,
    yielder: &Yielder<(), Wait>,
) {
    // SAFETY: the caller's promise.
    let (tasks, worker) = unsafe { (&*tasks.cast::<Tasks<'_, T, R, F>>(), &*worker) };
    worker.yielders[slot].set(yielder);
    loop {
        let mut waiting = tasks.waiting.take();
        let next = waiting.pop();
        tasks.waiting.set(waiting);
        let Some((place, task)) = next else { return };
        let result = catch_unwind(AssertUnwindSafe(|| (tasks.work)(task)));
        let mut results = tasks.results.take();
        results[place] = Some(result);
        tasks.results.set(results);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::has_avx2;

    /// Touches so many bytes of the stack, and leaves something there.
    #[inline(never)]
    fn dig(bytes: usize) -> usize {
        let mut here = [0xa5u8; 1_024];
        std::hint::black_box(&mut here);
        if bytes > here.len() { dig(bytes - here.len()) + usize::from(here[7]) } else { 0 }
    }

    #[test]
    fn stacks_hold_nothing_of_tasks_that_have_ended() {
        if !has_avx2() {
            return;
        }
        let mut room = Room::new().unwrap();
        let depths = [10 << 10, 60 << 10, 200 << 10, 400 << 10];
        let results = room.run(Path::Avx2, depths.repeat(10), &dig);
        assert!(results.iter().all(|result| result.as_ref().is_ok_and(|&sum| sum > 0)));
        assert_eq!(room.stacks.len(), SLOTS);
        assert!(room.stacks.iter().all(|stack| stack.used() == 0));
    }
}
