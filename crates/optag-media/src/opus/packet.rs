//! Opus packets as received in RTP. In: a payload. Out: the properties in its TOC, and its audio as packets
//! of 20 ms if that requires no decoding.
//!
//! Source: RFC 6716 §3.1, §3.2; RFC 7587 §4.2 (one packet per payload).

/// Maximum number of frames of a packet. Source: RFC 6716 §3.2.5 [R5], at 2.5 ms each.
const MOST_FRAMES: usize = 48;

/// Longest packet: 120 ms. Units: of 48 kHz. Source: RFC 6716 §3.2.5 [R5].
const LONGEST: i64 = 5_760;

/// A parsed packet.
#[derive(Clone, Copy, Debug)]
pub struct OpusPacket<'a> {
    toc: u8,
    bytes: &'a [u8],
    frames: [(u16, u16); MOST_FRAMES],
    count: usize,
}

/// Coding mode of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Linear prediction, for speech.
    Silk,
    /// Both.
    Hybrid,
    /// Transform, for music and low delay.
    Celt,
}

impl<'a> OpusPacket<'a> {
    /// Parses a payload; `None` if it violates RFC 6716 §3.4.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&toc, rest) = bytes.split_first()?;
        let mut packet = Self { toc, bytes, frames: [(0, 0); MOST_FRAMES], count: 0 };
        match toc & 3 {
            0 => packet.add(1, rest.len())?,
            1 => {
                let half = rest.len() / 2;
                (half * 2 == rest.len()).then_some(())?;
                packet.add(1, half)?;
                packet.add(1 + half, half)?;
            }
            2 => {
                let (first, used) = read_length(rest)?;
                let second = rest.len().checked_sub(used + first)?;
                packet.add(1 + used, first)?;
                packet.add(1 + used + first, second)?;
            }
            _ => packet.many(rest)?,
        }
        let total = packet.frame_axis() * packet.count as i64;
        (total <= LONGEST).then_some(packet)
    }

    /// Its coding mode. Source: RFC 6716 §3.1, table 2.
    pub fn mode(&self) -> Mode {
        mode(self.toc)
    }

    /// Duration of one of its frames. Units: of 48 kHz.
    pub fn frame_axis(&self) -> i64 {
        frame_axis(self.toc)
    }

    /// Duration of the packet. Units: of 48 kHz.
    pub fn length_axis(&self) -> i64 {
        self.frame_axis() * self.count as i64
    }

    /// Whether it contains sound: silent senders send only a TOC.
    pub fn has_sound(&self) -> bool {
        self.frames[..self.count].iter().any(|&(_, length)| length > 1)
    }

    /// Passes on its audio as packets of 20 ms in order: the payload itself if it is one, or its frames one
    /// by one. False, with nothing passed on, if that would require decoding.
    pub fn as_20_ms(&self, mut each: impl FnMut(&[u8])) -> bool {
        if self.length_axis() == 960 {
            each(self.bytes);
            return true;
        }
        if self.frame_axis() != 960 {
            return false;
        }
        let mut packet = [0; 1 + 1_275];
        packet[0] = self.toc & !3;
        for &(at, length) in &self.frames[..self.count] {
            let frame = &self.bytes[usize::from(at)..][..usize::from(length)];
            packet[1..=frame.len()].copy_from_slice(frame);
            each(&packet[..=frame.len()]);
        }
        true
    }

    /// Code 3: a count, optional padding, optional lengths. Source: RFC 6716 §3.2.5.
    fn many(&mut self, rest: &[u8]) -> Option<()> {
        let count = *rest.first()?;
        let (frames, has_padding, variable) =
            (usize::from(count & 0x3f), count & 0x40 != 0, count & 0x80 != 0);
        (1..=MOST_FRAMES).contains(&frames).then_some(())?;
        let mut at = 1;
        let mut padding = 0;
        let mut more = has_padding;
        while more {
            let byte = *rest.get(at)?;
            at += 1;
            more = byte == 255;
            padding += usize::from(byte) - usize::from(more);
        }
        let mut lengths = [0; MOST_FRAMES];
        if variable {
            let mut known = 0;
            for length in &mut lengths[..frames - 1] {
                let (value, used) = read_length(rest.get(at..)?)?;
                *length = value;
                at += used;
                known += value;
            }
            lengths[frames - 1] = rest.len().checked_sub(at + padding + known)?;
        } else {
            let left = rest.len().checked_sub(at + padding)?;
            left.is_multiple_of(frames).then_some(())?;
            lengths[..frames].fill(left / frames);
        }
        for &length in &lengths[..frames] {
            self.add(1 + at, length)?;
            at += length;
        }
        Some(())
    }

    fn add(&mut self, at: usize, length: usize) -> Option<()> {
        (length <= 1_275 && at + length <= self.bytes.len()).then_some(())?;
        *self.frames.get_mut(self.count)? = (at as u16, length as u16);
        self.count += 1;
        Some(())
    }
}

/// Duration of a frame with this TOC. Units: of 48 kHz. Source: RFC 6716 §3.1, table 2.
fn frame_axis(toc: u8) -> i64 {
    let size = (toc >> 3) & 3;
    match mode(toc) {
        Mode::Silk => [480, 960, 1_920, 2_880][usize::from(size)],
        Mode::Hybrid => [480, 960][usize::from(size & 1)],
        Mode::Celt => [120, 240, 480, 960][usize::from(size)],
    }
}

/// Duration of a packet from its header; 0 if it is not one. Units: of 48 kHz.
/// Source: RFC 6716 §3.2.
pub fn length_axis(payload: &[u8]) -> i64 {
    let frames = match payload {
        [toc, ..] if toc & 3 == 0 => 1,
        [toc, ..] if toc & 3 < 3 => 2,
        [_, count, ..] => i64::from(count & 0x3f),
        _ => 0,
    };
    let length = payload.first().map_or(0, |&toc| frame_axis(toc)) * frames;
    if length > LONGEST { 0 } else { length }
}

/// Coding mode of frames with this TOC.
pub fn mode(toc: u8) -> Mode {
    match toc >> 3 {
        0..=11 => Mode::Silk,
        12..=15 => Mode::Hybrid,
        _ => Mode::Celt,
    }
}

/// Sampling rate that covers the audio bandwidth of this TOC. Units: Hz.
pub fn audio_hz(toc: u8) -> u32 {
    match toc >> 3 {
        0..=3 | 16..=19 => 8_000,
        4..=11 | 20..=23 => 16_000,
        12..=13 | 24..=27 => 24_000,
        _ => 48_000,
    }
}

/// A frame's length, in one byte or two. Source: RFC 6716 §3.2.1.
fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [short @ 0..=251, ..] => Some((usize::from(short), 1)),
        [low, high, ..] => Some((usize::from(high) * 4 + usize::from(low), 2)),
        _ => None,
    }
}

/// Feeds arbitrary bytes to the parser; for fuzzing and its corpus.
pub fn exercise(bytes: &[u8]) {
    if let Some(packet) = OpusPacket::parse(bytes) {
        assert!(packet.length_axis() <= 5_760);
        let mut handed_out = 0;
        if packet.as_20_ms(|one| handed_out += usize::from(!one.is_empty())) {
            assert!(handed_out > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        OpusPacket::parse(bytes)?.as_20_ms(|one| out.push(one.to_vec())).then_some(out)
    }

    #[test]
    fn twenty_milliseconds_pass_as_they_are() {
        assert_eq!(pieces(&[0x48, 1, 2]), Some(vec![vec![0x48, 1, 2]]));
        // Two of 10 ms in one packet are 20 ms too, and so is one frame in a padded packet.
        assert_eq!(pieces(&[0x41, 1, 2]), Some(vec![vec![0x41, 1, 2]]));
        assert_eq!(pieces(&[0x4b, 0x41, 2, 7, 0, 0]), Some(vec![vec![0x4b, 0x41, 2, 7, 0, 0]]));
    }

    #[test]
    fn longer_packets_of_20_ms_frames_are_taken_apart() {
        assert_eq!(pieces(&[0x49, 1, 2, 3, 4]), Some(vec![vec![0x48, 1, 2], vec![0x48, 3, 4]]));
        assert_eq!(pieces(&[0x4a, 1, 9, 3, 4]), Some(vec![vec![0x48, 9], vec![0x48, 3, 4]]));
        assert_eq!(
            pieces(&[0x4b, 0x83, 1, 2, 7, 8, 8, 9, 9, 9]),
            Some(vec![vec![0x48, 7], vec![0x48, 8, 8], vec![0x48, 9, 9, 9]])
        );
    }

    #[test]
    fn a_60_ms_speech_frame_cannot_be_taken_apart() {
        assert_eq!(pieces(&[0x58, 1, 2, 3]), None);
    }

    #[test]
    fn what_breaks_the_rules_is_no_packet() {
        for bytes in [&[][..], &[0x49, 1, 2, 3], &[0x4a, 9, 1], &[0x4b], &[0x4b, 0], &[0x4b, 0x41, 9]] {
            assert!(OpusPacket::parse(bytes).is_none(), "{bytes:?}");
        }
        // 140 ms are too long.
        assert!(OpusPacket::parse(&[0x4b, 7, 1, 1, 1, 1, 1, 1, 1]).is_none());
    }

    #[test]
    fn tables_of_contents_tell_mode_and_band() {
        assert_eq!((mode(0x08), audio_hz(0x08)), (Mode::Silk, 8_000));
        assert_eq!((mode(0x48), audio_hz(0x48)), (Mode::Silk, 16_000));
        assert_eq!((mode(0x78), audio_hz(0x78)), (Mode::Hybrid, 48_000));
        assert_eq!((mode(0xf8), audio_hz(0xf8)), (Mode::Celt, 48_000));
    }
}
