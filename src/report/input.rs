//! Where a log comes from: a file or standard input, as it is or packed with gzip.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, ErrorKind, Result};

const GZIP: &[u8] = &[0x1f, 0x8b];

/// The byte order marks that editors and shells of Windows put before a text (Unicode 16, chapter 23.8).
const UTF_8: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF_16: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// Opens a log; `-` is standard input.
///
/// # Errors
/// There is none, it may not be read, or it is none that can be searched: one in UTF-16.
pub fn open(path: &Path) -> Result<Box<dyn Read>> {
    let name = path.display().to_string();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| cannot_read(&name, error))?)
    };
    unpacked(input, &name)
}

fn cannot_read(name: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Configuration, format!("cannot read the log {name}"))
        .hint("name a file that is there and may be read, or - for standard input")
        .because(error)
}

/// Unpacks what begins as gzip does; several files packed one after the other are one log.
fn unpacked(mut input: Box<dyn Read>, name: &str) -> Result<Box<dyn Read>> {
    let first = first_bytes(&mut input).map_err(|error| cannot_read(name, error))?;
    if !first.starts_with(GZIP) {
        return unmarked(first, input, name);
    }
    let whole = Cursor::new(first).chain(input);
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole));
    match first_bytes(&mut unpacked) {
        Ok(first) => unmarked(first, unpacked, name),
        Err(error) => Ok(Box::new(Broken(Some(error)))),
    }
}

/// As many bytes as tell what follows.
fn first_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(UTF_8.len());
    input.take(UTF_8.len() as u64).read_to_end(&mut first)?;
    Ok(first)
}

/// The text without its byte order mark, which would hide the time of the first line.
fn unmarked(first: Vec<u8>, rest: impl Read + 'static, name: &str) -> Result<Box<dyn Read>> {
    if UTF_16.iter().any(|mark| first.starts_with(mark)) {
        let name = if name == "-" { "x.log" } else { name };
        let hint = format!(
            "PowerShell's > writes so; convert it first: iconv -f UTF-16 -t UTF-8 {name} > utf-8.log, or in PowerShell \
             Get-Content {name} | Set-Content -Encoding utf8 utf-8.log"
        );
        return Err(
            Error::new(ErrorKind::Configuration, format!("the log {name} is written in UTF-16")).hint(hint)
        );
    }
    Ok(if first == UTF_8 { Box::new(rest) } else { Box::new(Cursor::new(first).chain(rest)) })
}

/// A packed log whose beginning cannot be unpacked: it is told as one that breaks off there.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
