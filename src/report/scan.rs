//! Through a log of any length in constant memory: lines are counted, and those that may say something are handed on.

use std::io::{self, Read};

use aho_corasick::{AhoCorasick, MatchKind};

use super::line::{Hit, NEEDLES};
use crate::error::{Error, ErrorKind, Result};

/// What is read at once. A line that is longer is counted and left out: no line that is measured is.
const BLOCK: usize = 512 * 1024;

/// How much of the last line is kept, for its time.
const KEPT_OF_LAST: usize = 4096;

/// What was seen of the input as a whole.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) too_long: u64,
    /// The beginning of the last line that was not empty.
    pub(super) last: Vec<u8>,
    /// The input broke off here: a gzip that was cut, a disk that fails.
    pub(super) broke: Option<io::Error>,
}

/// Reads to the end, and hands on each line that has one of the needles, without its end, with the first of them.
///
/// # Errors
/// A defect: the needles cannot be looked for.
pub(super) fn scan(mut input: impl Read, mut line: impl FnMut(&[u8], Hit)) -> Result<Seen> {
    let finder = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(NEEDLES)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot search the log").because(error))?;
    let mut seen = Seen::default();
    let mut block = vec![0; BLOCK];
    let (mut kept, mut is_skipping) = (0, false);
    loop {
        let length = match input.read(&mut block[kept..]) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                seen.broke = Some(error);
                break;
            }
        };
        seen.bytes += length as u64;
        let filled = kept + length;
        let Some(end) = memchr::memrchr(b'\n', &block[kept..filled]).map(|at| kept + at) else {
            kept = filled;
            if kept == block.len() {
                is_skipping = true;
                kept = 0;
            }
            continue;
        };
        let mut whole = &block[..=end];
        if std::mem::take(&mut is_skipping) {
            let rest = memchr::memchr(b'\n', whole).map_or(whole.len(), |at| at + 1);
            whole = &whole[rest..];
            seen.lines += 1;
            seen.too_long += 1;
        }
        lines(&finder, whole, &mut seen, &mut line);
        block.copy_within(end + 1..filled, 0);
        kept = filled - end - 1;
    }
    if is_skipping {
        seen.lines += 1;
        seen.too_long += 1;
    } else if kept > 0 {
        seen.lines += 1;
        lines(&finder, &block[..kept], &mut seen, &mut line);
    }
    Ok(seen)
}

/// The lines of a block. One pass counts them, one looks for needles; both at the speed of memory while there are few.
fn lines(finder: &AhoCorasick, block: &[u8], seen: &mut Seen, line: &mut impl FnMut(&[u8], Hit)) {
    seen.lines += memchr::memchr_iter(b'\n', block).count() as u64;
    let mut at = 0;
    while let Some(found) = finder.find(&block[at..]) {
        let hit = at + found.start();
        let start = memchr::memrchr(b'\n', &block[at..hit]).map_or(at, |end| at + end + 1);
        let end = memchr::memchr(b'\n', &block[hit..]).map_or(block.len(), |end| hit + end);
        line(&block[start..end], Hit { needle: found.pattern().as_usize(), end: at + found.end() - start });
        at = block.len().min(end + 1);
    }
    let trimmed = block.trim_ascii_end();
    if !trimmed.is_empty() {
        let start = memchr::memrchr(b'\n', trimmed).map_or(0, |end| end + 1);
        seen.last.clear();
        seen.last.extend_from_slice(&trimmed[start..trimmed.len().min(start + KEPT_OF_LAST)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn found(input: impl Read) -> (Vec<String>, Seen) {
        let mut lines = Vec::new();
        let seen = scan(input, |line, _| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
        (lines, seen)
    }

    #[test]
    fn lines_with_a_needle_are_found_wherever_a_read_cuts_them() {
        let log = b"nothing\n1 launching item 3 X y\r\n\nfinished item 3 launching item 4\nend Start restore";
        for size in 1..log.len() {
            let (lines, seen) = found(Drops(log, size));
            assert_eq!(
                lines,
                ["1 launching item 3 X y\r", "finished item 3 launching item 4", "end Start restore"]
            );
            assert_eq!((seen.lines, seen.bytes, seen.too_long), (5, log.len() as u64, 0));
            assert_eq!(seen.last, b"end Start restore");
        }
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_is_counted_and_the_next_one_is_read() {
        let long = io::repeat(b'x').take(100_000_000);
        let log = (&b"Start restore\n"[..]).chain(long).chain(&b" Start restore\nRestore done\n"[..]);
        let (lines, seen) = found(log);
        assert_eq!(lines, ["Start restore", "Restore done"]);
        assert_eq!((seen.lines, seen.too_long), (3, 1));
    }

    #[test]
    fn a_long_line_at_the_end_is_counted_too() {
        let (_, seen) = found(io::repeat(b'x').take(BLOCK as u64 * 2));
        assert_eq!((seen.lines, seen.too_long), (1, 1));
    }
}
