//! Audio in the spool that is not encoded yet.

/// Unencoded audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Length of its records. Units: bytes.
    pub bytes: u64,
    /// Frames of all streams.
    pub frames: u64,
}

impl std::ops::AddAssign for Packed {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.frames += other.frames;
    }
}
