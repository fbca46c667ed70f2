//! The primitives of the archive format: bytes, signed integers, strings. Hostile input ends in an error, never in a
//! panic or in an allocation of a size that the input dictates.

use std::io::{ErrorKind as IoKind, Read};

use crate::error::{Error, ErrorKind, Result};

/// No definition is larger than this; a length beyond it is damage.
const LONGEST_STRING: u64 = 64 * 1024 * 1024;

/// A reader that knows where it is, for the error text.
pub(super) struct ByteReader<R> {
    input: R,
    position: u64,
    integer_size: u8,
}

impl<R: Read> ByteReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, position: 0, integer_size: 4 }
    }

    /// The size of the integers to come, as the header says it.
    pub(super) fn set_integer_size(&mut self, size: u8) -> Result<()> {
        if !(1..=8).contains(&size) {
            return Err(self.damaged(format_args!("integers of {size} bytes")));
        }
        self.integer_size = size;
        Ok(())
    }

    pub(super) fn integer_size(&self) -> u8 {
        self.integer_size
    }

    /// The bytes that were read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte).map_err(|error| self.failed(error))?;
        self.position += 1;
        Ok(byte[0])
    }

    /// A sign byte, then the magnitude, least significant byte first.
    pub(super) fn integer(&mut self) -> Result<i32> {
        let negative = self.byte()? != 0;
        let mut magnitude = 0_u64;
        for index in 0..self.integer_size {
            magnitude |= u64::from(self.byte()?) << (8 * u32::from(index));
        }
        i32::try_from(magnitude)
            .map(|value| if negative { -value } else { value })
            .map_err(|_| self.damaged(format_args!("the number {magnitude}")))
    }

    /// A length, then as many bytes; a negative length is no string.
    pub(super) fn string(&mut self) -> Result<Option<Vec<u8>>> {
        let Ok(length) = u64::try_from(self.integer()?) else {
            return Ok(None);
        };
        if length > LONGEST_STRING {
            return Err(self.damaged(format_args!("a text of {length} bytes")));
        }
        let mut text = Vec::new();
        // Grows with what is really there: a wrong length costs no memory.
        let read =
            self.input.by_ref().take(length).read_to_end(&mut text).map_err(|error| self.failed(error))?;
        self.position += read as u64;
        if (read as u64) < length {
            return Err(self.failed(IoKind::UnexpectedEof.into()));
        }
        Ok(Some(text))
    }

    pub(super) fn damaged(&self, found: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Data, format!("it is damaged near its byte {}: {found}", self.position))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        if error.kind() == IoKind::UnexpectedEof {
            return Error::new(ErrorKind::Data, format!("it is cut at its byte {}", self.position))
                .hint("pg_dump or the download did not finish: make the archive again");
        }
        Error::new(ErrorKind::Internal, format!("reading failed at byte {}", self.position)).because(error)
    }
}

/// Text of the archive, in whose encoding only ASCII and UTF-8 are understood.
pub(super) fn decode(text: Vec<u8>, encoding: &str) -> Result<String> {
    if !text.is_ascii() && !matches!(encoding, "UTF8" | "SQL_ASCII") {
        let found = format!("its names and definitions are in the encoding {encoding}, not in UTF-8");
        return Err(Error::new(ErrorKind::Data, found).hint(REENCODE));
    }
    String::from_utf8(text)
        .map_err(|_| Error::new(ErrorKind::Data, "its names and definitions are not UTF-8").hint(REENCODE))
}

const REENCODE: &str = "make it with pg_dump --encoding=UTF8";
