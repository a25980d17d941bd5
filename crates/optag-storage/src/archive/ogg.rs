//! Ogg Opus. In: one packet a stream and frame. Out: the bytes of a file in which each stream
//! is a mono channel of its own. Personal data does not belong in its tags.
//!
//! Source: RFC 7845 §3, §4, §5.1, §5.2; RFC 3533 for Ogg itself (crate `ogg`).

use std::io;

use ogg::writing::{PacketWriteEndInfo, PacketWriter};

use crate::archive::multistream::{self, BadPacket};

/// Frames of a page: 1 s.
const PAGE_FRAMES: u32 = 50;
/// Samples of a frame at 48 kHz, the rate of granule positions.
const FRAME_48K: u64 = 960;

/// What a file says of itself.
#[derive(Clone, Debug)]
pub struct Tags {
    /// Names the logical stream; should differ between files.
    pub serial: u32,
    /// `KEY=value` comments.
    pub comments: Vec<String>,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OggError {
    /// A packet is none.
    #[error(transparent)]
    Packet(#[from] BadPacket),
    /// The container library refused.
    #[error("the container cannot be written: {0}")]
    Container(#[from] io::Error),
}

/// Writes a file into memory, from which the caller takes what is ready.
pub struct OggOpusWriter {
    writer: PacketWriter<'static, Vec<u8>>,
    serial: u32,
    pre_skip_48k: u64,
    frames: u32,
    joined: Vec<u8>,
}

impl OggOpusWriter {
    /// Starts a file of `channels` mono streams.
    ///
    /// Errors: as [`OggError`].
    pub fn new(channels: u8, pre_skip_48k: u16, tags: &Tags) -> Result<Self, OggError> {
        let mut writer = PacketWriter::new(Vec::new());
        writer.write_packet(head(channels, pre_skip_48k), tags.serial, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(tag_packet(tags), tags.serial, PacketWriteEndInfo::EndPage, 0)?;
        Ok(Self {
            writer,
            serial: tags.serial,
            pre_skip_48k: u64::from(pre_skip_48k),
            frames: 0,
            joined: Vec::new(),
        })
    }

    /// Adds a frame: one packet of 20 ms for each stream.
    ///
    /// Errors: as [`OggError`].
    pub fn frame<'a>(&mut self, packets: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<(), OggError> {
        self.frames += 1;
        let end = match self.frames % PAGE_FRAMES {
            0 => PacketWriteEndInfo::EndPage,
            _ => PacketWriteEndInfo::NormalPacket,
        };
        // Positions count what is to be decoded, the pre-skip included (RFC 7845 §4).
        self.write(packets, end, u64::from(self.frames) * FRAME_48K)
    }

    /// Frames so far.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Ends the file with one more frame, whose tail is trimmed, so that what plays is exactly
    /// as long as the frames added before.
    ///
    /// Errors: as [`OggError`].
    pub fn finish<'a>(&mut self, packets: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<(), OggError> {
        let end = self.pre_skip_48k + u64::from(self.frames) * FRAME_48K;
        self.write(packets, PacketWriteEndInfo::EndStream, end)
    }

    /// Takes the bytes that are ready.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Bytes that are ready.
    pub fn ready_bytes(&self) -> usize {
        self.writer.inner().len()
    }

    fn write<'a>(
        &mut self,
        packets: impl ExactSizeIterator<Item = &'a [u8]>,
        end: PacketWriteEndInfo,
        granule: u64,
    ) -> Result<(), OggError> {
        self.joined.clear();
        multistream::join(packets, &mut self.joined)?;
        Ok(self.writer.write_packet(self.joined.clone(), self.serial, end, granule)?)
    }
}

/// The identification header. One channel is family 0; more are family 1 with as many
/// uncoupled streams, channel n being stream n.
fn head(channels: u8, pre_skip_48k: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend(pre_skip_48k.to_le_bytes());
    head.extend(8_000u32.to_le_bytes());
    head.extend(0i16.to_le_bytes());
    if channels == 1 {
        head.push(0);
    } else {
        head.extend([1, channels, 0]);
        head.extend(0..channels);
    }
    head
}

fn tag_packet(tags: &Tags) -> Vec<u8> {
    let mut packet = b"OpusTags".to_vec();
    let mut text = |text: &str| {
        packet.extend((text.len() as u32).to_le_bytes());
        packet.extend(text.as_bytes());
    };
    text(concat!("optag ", env!("CARGO_PKG_VERSION")));
    packet.extend((tags.comments.len() as u32).to_le_bytes());
    for comment in &tags.comments {
        packet.extend((comment.len() as u32).to_le_bytes());
        packet.extend(comment.as_bytes());
    }
    packet
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_file_reads_back_with_its_length_to_the_sample() {
        let tags = Tags { serial: 7, comments: vec!["A=b".into()] };
        let mut writer = OggOpusWriter::new(2, 312, &tags).unwrap();
        for _ in 0..120 {
            writer.frame([&[0x08, 1, 2][..], &[0x08, 3][..]].into_iter()).unwrap();
        }
        writer.finish([&[0x08, 1][..], &[0x08, 3][..]].into_iter()).unwrap();
        let mut reader = ogg::PacketReader::new(Cursor::new(writer.take()));
        let mut packets = Vec::new();
        while let Some(packet) = reader.read_packet().unwrap() {
            packets.push(packet);
        }
        assert_eq!(&packets[0].data[..8], b"OpusHead");
        assert_eq!(packets[0].data[18..], [1, 2, 0, 0, 1]);
        assert_eq!(&packets[1].data[..8], b"OpusTags");
        assert_eq!(packets[2].data, [0x08, 2, 1, 2, 0x08, 3]);
        assert_eq!(packets.len(), 2 + 121);
        assert_eq!(packets.last().unwrap().absgp_page(), 312 + 120 * 960);
        assert!(packets.last().unwrap().last_in_stream());
    }
}
