//! A window of decoded samples on a call's time axis. In: runs of samples at their positions.
//! Out: 20 ms frames, with how many samples of each really came: the noun `PcmFrame`.

use super::output::FRAME_MS;

/// Samples of a frame at 8 kHz.
pub const FRAME_SAMPLES: usize = FRAME_MS as usize * 8;

/// The window: it starts at the next frame to be taken.
#[derive(Debug)]
pub struct PcmWindow {
    samples: Vec<i16>,
    present: Vec<bool>,
    start: i64,
}

impl PcmWindow {
    /// A window that reaches `samples` ahead, rounded up to a power of two.
    pub fn new(samples: usize) -> Self {
        let size = samples.next_power_of_two();
        Self { samples: vec![0; size], present: vec![false; size], start: 0 }
    }

    /// Position of the next frame's first sample.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// First position beyond the window.
    pub fn end(&self) -> i64 {
        self.start + self.samples.len() as i64
    }

    /// Places samples; those outside the window are left out. How many were placed.
    pub fn place(&mut self, at: i64, samples: &[i16]) -> usize {
        let mask = self.samples.len() - 1;
        let from = (self.start - at).clamp(0, samples.len() as i64) as usize;
        let to = (self.end() - at).clamp(0, samples.len() as i64) as usize;
        for (n, &sample) in samples.iter().enumerate().take(to).skip(from) {
            let index = (at + n as i64) as usize & mask;
            self.samples[index] = sample;
            self.present[index] = true;
        }
        to.saturating_sub(from)
    }

    /// Takes the next frame; how many of its samples were placed. The rest is zero, and what
    /// was taken is wiped.
    pub fn take(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> usize {
        let mask = self.samples.len() - 1;
        let mut placed = 0;
        for (n, out) in frame.iter_mut().enumerate() {
            let index = (self.start + n as i64) as usize & mask;
            placed += usize::from(std::mem::take(&mut self.present[index]));
            *out = std::mem::take(&mut self.samples[index]);
        }
        self.start += FRAME_SAMPLES as i64;
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_at_their_places_and_once() {
        let mut window = PcmWindow::new(1_000);
        assert_eq!(window.place(-80, &[7; 160]), 80);
        assert_eq!(window.place(240, &[9; 100]), 100);
        assert_eq!(window.place(2_000, &[1; 10]), 0);
        let mut frame = [0; FRAME_SAMPLES];
        assert_eq!(window.take(&mut frame), 80);
        assert_eq!((frame[79], frame[80]), (7, 0));
        assert_eq!(window.take(&mut frame), 80);
        assert_eq!((frame[79], frame[80]), (0, 9));
        assert_eq!(window.take(&mut frame), 20);
        for _ in 0..20 {
            assert_eq!(window.take(&mut frame), 0);
            assert_eq!(frame, [0; FRAME_SAMPLES]);
        }
    }
}
