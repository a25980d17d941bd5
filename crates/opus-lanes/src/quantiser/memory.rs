//! Room for a batch, and where in it what is.

use super::{DELAY, FRAME, LANES, RING, ROWS, SHAPING, STREAMS};
use crate::simd::Simd;

/// Room for a batch. Holds samples of calls: wiped by [`Scratch::wipe`].
#[repr(C, align(64))]
pub(crate) struct Scratch {
    shaping: [i32; ROWS * STREAMS],
    prediction: [i32; ROWS * STREAMS],
    /// Slot of the winner, by the time it stands for, and the delay.
    slots: [i32; (FRAME + DELAY) * STREAMS],
    ring_shaping: [i32; RING * LANES],
    ring_prediction: [i32; RING * LANES],
    levels: [i32; FRAME * LANES],
    outputs: [i32; FRAME * LANES],
    /// Input of a subframe, divided by the gain.
    scaled: [i32; 80 * STREAMS],
    ar: [i32; SHAPING * LANES],
    /// Two samples a number: the newest first.
    upper: [i32; 8 * LANES],
    lower: [i32; 8 * LANES],
    /// One number a lane, and one a stream.
    by_lane: [[i32; LANES]; SHAPING],
    by_stream: [[i32; STREAMS]; 16],
}

impl Scratch {
    /// All zero.
    pub(crate) fn new() -> Box<Self> {
        // SAFETY: zeros are valid numbers.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// Overwrites everything.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: the bytes are this struct's own, and zeros are valid numbers.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(std::ptr::from_mut(self).cast::<u8>(), size_of::<Self>())
        };
        zeroize::Zeroize::zeroize(bytes);
    }
}

/// Where the parts of a [`Scratch`] begin.
#[derive(Clone, Copy)]
pub(super) struct Memory<S> {
    pub(super) shaping: *mut i32,
    pub(super) prediction: *mut i32,
    pub(super) slots: *mut i32,
    pub(super) ring_shaping: *mut i32,
    pub(super) ring_prediction: *mut i32,
    pub(super) levels: *mut i32,
    pub(super) outputs: *mut i32,
    pub(super) scaled: *mut i32,
    pub(super) ar: *mut i32,
    pub(super) upper: *mut i32,
    pub(super) lower: *mut i32,
    by_lane: *mut i32,
    by_stream: *mut i32,
    set: std::marker::PhantomData<S>,
}

#[allow(clippy::missing_safety_doc)]
impl<S: Simd> Memory<S> {
    #[inline(always)]
    pub(super) fn new(z: &mut Scratch) -> Self {
        Self {
            shaping: z.shaping.as_mut_ptr(),
            prediction: z.prediction.as_mut_ptr(),
            slots: z.slots.as_mut_ptr(),
            ring_shaping: z.ring_shaping.as_mut_ptr(),
            ring_prediction: z.ring_prediction.as_mut_ptr(),
            levels: z.levels.as_mut_ptr(),
            outputs: z.outputs.as_mut_ptr(),
            scaled: z.scaled.as_mut_ptr(),
            ar: z.ar.as_mut_ptr(),
            upper: z.upper.as_mut_ptr(),
            lower: z.lower.as_mut_ptr(),
            by_lane: z.by_lane.as_mut_ptr().cast(),
            by_stream: z.by_stream.as_mut_ptr().cast(),
            set: std::marker::PhantomData,
        }
    }

    /// A row of one number a lane.
    #[inline(always)]
    pub(super) unsafe fn lane_row(&self, row: usize) -> *mut i32 {
        // SAFETY: there are `SHAPING` rows.
        unsafe { self.by_lane.add(row * LANES) }
    }

    /// A row of one number a stream.
    #[inline(always)]
    pub(super) unsafe fn stream_row(&self, row: usize) -> *mut i32 {
        // SAFETY: there are 16 rows.
        unsafe { self.by_stream.add(row * STREAMS) }
    }

    /// Both vectors of a row of lanes.
    #[inline(always)]
    pub(super) unsafe fn lanes(&self, row: usize) -> [S::V; 2] {
        // SAFETY: as above.
        unsafe { [S::load(self.lane_row(row)), S::load(self.lane_row(row).add(S::W))] }
    }

    /// Writes a row of lanes.
    #[inline(always)]
    pub(super) unsafe fn put_lanes(&self, row: usize, v: [S::V; 2]) {
        // SAFETY: as above.
        unsafe {
            S::store(self.lane_row(row), v[0]);
            S::store(self.lane_row(row).add(S::W), v[1]);
        }
    }

    /// The vector of a row of streams.
    #[inline(always)]
    pub(super) unsafe fn streams(&self, row: usize) -> S::V {
        // SAFETY: as above.
        unsafe { S::load(self.stream_row(row)) }
    }

    /// A row of streams as lanes: each number for both of its states.
    #[inline(always)]
    pub(super) unsafe fn streams_twice(&self, row: usize) -> [S::V; 2] {
        // SAFETY: as above.
        unsafe { twice::<S>(self.streams(row)) }
    }
}

/// A number a stream as lanes: each for both of its states.
#[inline(always)]
pub(super) unsafe fn twice<S: Simd>(v: S::V) -> [S::V; 2] {
    // SAFETY: see `Simd`.
    unsafe { [S::twice_low(v), S::twice_high(v)] }
}
