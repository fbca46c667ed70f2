//! Where a log comes from: a file or standard input, as it is or packed with gzip.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, ErrorKind, Result};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a log; `-` is standard input.
///
/// # Errors
/// There is none, or it may not be read.
pub fn open(path: &Path) -> Result<Box<dyn Read>> {
    let cannot = |error: io::Error| {
        Error::new(ErrorKind::Configuration, format!("cannot read the log {}", path.display()))
            .hint("name a file that is there and may be read, or - for standard input")
            .because(error)
    };
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(cannot)?)
    };
    unpacked(input).map_err(cannot)
}

/// Unpacks what begins as gzip does; several files packed one after the other are one log.
pub(super) fn unpacked(mut input: Box<dyn Read>) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::with_capacity(GZIP.len());
    input.by_ref().take(GZIP.len() as u64).read_to_end(&mut magic)?;
    let is_packed = magic == GZIP;
    let whole = Cursor::new(magic).chain(input);
    Ok(if is_packed {
        Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, whole)))
    } else {
        Box::new(whole)
    })
}
