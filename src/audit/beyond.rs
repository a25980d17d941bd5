//! The lines after one that is known, without reading those before it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use serde::Deserialize;

use super::chain::{LINE_BYTES, Lines};
use super::{AuditFault, AuditLog};

impl AuditLog {
    /// The lines after the one with this number and hash; all lines if the log does not have it. Blocking.
    ///
    /// Errors: of the file, or the line cannot be verified.
    pub fn lines_beyond(
        &self,
        sequence: u64,
        hash: &str,
    ) -> Result<Lines<Box<dyn BufRead + Send>>, AuditFault> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.lines(),
            Err(error) => return Err(error.into()),
        };
        let from = place_before(&file, sequence)?;
        file.seek(SeekFrom::Start(from))?;
        let reader: Box<dyn BufRead + Send> = Box::new(BufReader::new(file));
        let mut lines = Lines::new(reader);
        while let Some(line) = lines.next() {
            let line = line?;
            if line.sequence == sequence && line.hash == hash {
                return Ok(lines);
            }
            if line.sequence >= sequence {
                break;
            }
        }
        self.lines()
    }
}

/// Start of a line with a number of at most `sequence`, near the last such line; 0 if there is none.
fn place_before(file: &File, sequence: u64) -> io::Result<u64> {
    let (mut from, mut to) = (0, file.metadata()?.len());
    while to - from > LINE_BYTES {
        let middle = from + (to - from) / 2;
        match line_after(file, middle)? {
            Some((at, number)) if number <= sequence && at < to => from = at,
            _ => to = middle,
        }
    }
    Ok(from)
}

/// Start and number of the first whole line that begins after `at`.
fn line_after(file: &File, at: u64) -> io::Result<Option<(u64, u64)>> {
    #[derive(Deserialize)]
    struct Numbered {
        sequence: u64,
    }
    let mut block = vec![0; 2 * LINE_BYTES as usize];
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], at + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    let mut parts = block[..filled].split_inclusive(|&byte| byte == b'\n');
    let (Some(before), Some(line)) = (parts.next(), parts.next()) else { return Ok(None) };
    let numbered = serde_json::from_slice::<Numbered>(line).ok();
    Ok(numbered.map(|line| (at + before.len() as u64, line.sequence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_after_any_line_are_found_and_all_after_one_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(dir.path().join("audit.jsonl"));
        assert_eq!(log.lines_beyond(3, "x").unwrap().count(), 0);
        let known: Vec<_> = (0..300_u64)
            .map(|n| log.append(&serde_json::json!({"n": n, "text": "x".repeat((n * 37 % 3_000) as usize)})))
            .map(Result::unwrap)
            .collect();
        let numbers = |sequence, hash: &str| -> Vec<u64> {
            log.lines_beyond(sequence, hash).unwrap().map(|line| line.unwrap().sequence).collect()
        };
        for line in &known {
            assert!(numbers(line.sequence, &line.hash).into_iter().eq(line.sequence + 1..=300));
        }
        for (sequence, hash) in [(150, "another"), (400, "x"), (0, "x")] {
            assert!(numbers(sequence, hash).into_iter().eq(1..=300), "{sequence}");
        }
    }
}
