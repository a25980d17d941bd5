//! Several streams' Opus packets joined into the one packet of a multistream file, and taken out
//! of it again.
//!
//! All but the last stream's packets are self-delimiting: the length that ordinary framing
//! leaves to the container is written in. Source: RFC 6716 appendix B, §3.2; RFC 7845 §3.

/// A packet that does not follow its own framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Opus packet: {0}")]
pub struct BadPacket(&'static str);

/// Appends `packets`, one a stream, as one multistream packet.
///
/// Errors: a packet breaks the rules of RFC 6716 §3.4.
pub fn join<'a>(
    packets: impl ExactSizeIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) -> Result<(), BadPacket> {
    let last = packets.len().saturating_sub(1);
    for (n, packet) in packets.enumerate() {
        if n == last {
            out.extend_from_slice(packet);
        } else {
            delimit(packet, out)?;
        }
    }
    Ok(())
}

/// The packet of stream `wanted` in a multistream packet of `streams`, in its ordinary form.
///
/// Errors: a packet breaks the rules of RFC 6716, or there is no such stream.
pub fn split(mut joined: &[u8], streams: usize, wanted: usize) -> Result<Vec<u8>, BadPacket> {
    if wanted >= streams {
        return Err(BadPacket("there is no such stream"));
    }
    for n in 0..streams - 1 {
        let (packet, used) = undelimit(joined)?;
        if n == wanted {
            return Ok(packet);
        }
        joined = &joined[used..];
    }
    if joined.is_empty() { Err(BadPacket("it is empty")) } else { Ok(joined.to_vec()) }
}

/// Takes a packet in self-delimiting form from the front; it in its ordinary form, and how many
/// bytes it had.
fn undelimit(bytes: &[u8]) -> Result<(Vec<u8>, usize), BadPacket> {
    let short = BadPacket("it is shorter than its frames");
    let (&toc, rest) = bytes.split_first().ok_or(BadPacket("it is empty"))?;
    // What stands before the length that was written in, and the frames' sum with their padding.
    let (at, frames, after) = match toc & 3 {
        0 => (0, 1, 0),
        1 => (0, 2, 0),
        2 => {
            let (first, bytes) = read_length(rest)?;
            (bytes, 1, first)
        }
        _ => {
            let Counted { at, frames, variable, padding, known } = counted(rest)?;
            let alike = if variable { 1 } else { frames };
            (at, alike, known + padding)
        }
    };
    let (length, bytes) = read_length(rest.get(at..).ok_or(short)?)?;
    let from = at + bytes;
    let until = from + length * frames + after;
    let content = rest.get(from..until).ok_or(short)?;
    let mut packet = Vec::with_capacity(1 + at + content.len());
    packet.push(toc);
    packet.extend_from_slice(&rest[..at]);
    packet.extend_from_slice(content);
    Ok((packet, 1 + until))
}

/// Appends one packet in self-delimiting form.
fn delimit(packet: &[u8], out: &mut Vec<u8>) -> Result<(), BadPacket> {
    let (&toc, rest) = packet.split_first().ok_or(BadPacket("it is empty"))?;
    // Where the missing length goes, and its value.
    let (at, length) = match toc & 3 {
        0 => (0, rest.len()),
        1 if rest.len().is_multiple_of(2) => (0, rest.len() / 2),
        1 => return Err(BadPacket("two frames of one size have an odd sum")),
        2 => {
            let (first, bytes) = read_length(rest)?;
            let second =
                rest.len().checked_sub(bytes + first).ok_or(BadPacket("its first frame is too long"))?;
            (bytes, second)
        }
        _ => many_frames(rest)?,
    };
    out.push(toc);
    out.extend_from_slice(&rest[..at]);
    write_length(length, out);
    out.extend_from_slice(&rest[at..]);
    Ok(())
}

/// What a packet of code 3 says before its frames.
struct Counted {
    /// Where the last length, or the one of all, would stand.
    at: usize,
    frames: usize,
    /// Whether each frame has a length of its own.
    variable: bool,
    padding: usize,
    /// Sum of the lengths before the last.
    known: usize,
}

/// Code 3: a count, perhaps padding, perhaps lengths.
fn many_frames(rest: &[u8]) -> Result<(usize, usize), BadPacket> {
    let Counted { at, frames, variable, padding, known } = counted(rest)?;
    let left = rest.len().checked_sub(at + padding + known);
    let left = left.ok_or(BadPacket("it is shorter than its frames"))?;
    match variable {
        true => Ok((at, left)),
        false if left.is_multiple_of(frames) => Ok((at, left / frames)),
        false => Err(BadPacket("frames of one size do not fit its length")),
    }
}

fn counted(rest: &[u8]) -> Result<Counted, BadPacket> {
    let short = BadPacket("it is shorter than its frames");
    let count = *rest.first().ok_or(short)?;
    let (frames, has_padding, variable) = (usize::from(count & 0x3f), count & 0x40 != 0, count & 0x80 != 0);
    if frames == 0 {
        return Err(BadPacket("it has no frame"));
    }
    let mut at = 1;
    let mut padding = 0;
    let mut more = has_padding;
    while more {
        let byte = *rest.get(at).ok_or(short)?;
        at += 1;
        more = byte == 255;
        padding += usize::from(byte) - usize::from(more);
    }
    let mut known = 0;
    for _ in 1..if variable { frames } else { 1 } {
        let (length, bytes) = read_length(rest.get(at..).ok_or(short)?)?;
        known += length;
        at += bytes;
    }
    Ok(Counted { at, frames, variable, padding, known })
}

fn read_length(bytes: &[u8]) -> Result<(usize, usize), BadPacket> {
    match *bytes {
        [short @ 0..=251, ..] => Ok((usize::from(short), 1)),
        [low, high, ..] => Ok((usize::from(high) * 4 + usize::from(low), 2)),
        _ => Err(BadPacket("a length is missing")),
    }
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    if length < 252 {
        out.push(length as u8);
    } else {
        let low = 252 + (length & 3);
        out.extend([low as u8, ((length - low) >> 2) as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_packets_carries_its_length() {
        let mut out = Vec::new();
        join([&[0x08, 1, 2, 3][..], &[0x08, 9][..]].into_iter(), &mut out).unwrap();
        assert_eq!(out, [0x08, 3, 1, 2, 3, 0x08, 9]);
    }

    #[test]
    fn long_lengths_take_two_bytes() {
        for length in [251, 252, 255, 256, 1_000, 1_275] {
            let mut out = Vec::new();
            write_length(length, &mut out);
            assert_eq!(read_length(&out), Ok((length, if length < 252 { 1 } else { 2 })));
        }
    }

    #[test]
    fn every_framing_code_decodes_after_joining() {
        let mut encoder = opus::Encoder::new(8_000, opus::Channels::Mono, opus::Application::Voip).unwrap();
        let tone = |n: usize| -> Vec<i16> {
            (0..160).map(|i| ((n * 160 + i) as f32 * 0.3).sin() as i16 * 9_000).collect()
        };
        let mut merger = opus::Repacketizer::new().unwrap();
        for frames in 1..=3 {
            let packets: Vec<Vec<u8>> =
                (0..frames).map(|n| encoder.encode_vec(&tone(n), 400).unwrap()).collect();
            let mut merged = vec![0; 2_000];
            let inputs: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
            let length = merger.combine(&inputs, &mut merged).unwrap();
            merged.truncate(length);
            let mut joined = Vec::new();
            join([&merged[..], &merged[..]].into_iter(), &mut joined).unwrap();
            for stream in 0..2 {
                assert_eq!(split(&joined, 2, stream).unwrap(), merged, "{frames} frames");
            }
            assert!(split(&joined, 2, 2).is_err());
            let mut decoder = opus::MSDecoder::new(8_000, 2, 0, &[0, 1]).unwrap();
            let mut pcm = vec![0i16; 2 * 160 * frames];
            assert_eq!(decoder.decode(&joined, &mut pcm, false).unwrap(), 160 * frames);
            assert!(pcm.chunks(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn every_framing_code_comes_out_as_it_went_in() {
        let packets: [&[u8]; 8] = [
            &[0x08, 1, 2, 3],
            &[0x09, 1, 2, 3, 4],
            &[0x0a, 1, 9, 8, 7],
            &[0x0b, 3, 1, 2, 3, 4, 5, 6],
            &[0x0b, 0x83, 1, 2, 9, 8, 8, 7, 7],
            // With padding, of one and of 256 bytes.
            &[0x0b, 0x42, 1, 5, 6, 0],
            &[&[0x0b, 0x42, 255, 2][..], &[5, 6], &[0; 256]].concat(),
            &[&[0x08][..], &[7; 600]].concat(),
        ];
        for packet in packets {
            let mut joined = Vec::new();
            join([packet, &[0x08, 42], packet].into_iter(), &mut joined).unwrap();
            for (stream, wanted) in [packet, &[0x08, 42], packet].into_iter().enumerate() {
                assert_eq!(split(&joined, 3, stream).unwrap(), wanted, "{packet:?}");
            }
            for length in 0..joined.len() - packet.len() {
                assert!(split(&joined[..length], 3, 1).is_err() || length > packet.len());
            }
        }
    }

    #[test]
    fn broken_packets_are_refused() {
        for packet in
            [&[][..], &[1, 5][..], &[2][..], &[2, 9, 1][..], &[3][..], &[3, 0][..], &[3, 0x41, 9][..]]
        {
            assert!(delimit(packet, &mut Vec::new()).is_err(), "{packet:?}");
        }
    }
}
