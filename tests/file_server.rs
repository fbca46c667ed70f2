//! A server of one file over HTTP with ranges, for utils/benchmark-download.sh: `file-server FILE`. It prints its port, and the kernel copies.

#![expect(clippy::print_stdout, reason = "the script reads the port")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("usage: file-server FILE"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for socket in listener.incoming() {
        let (socket, path) = (socket?, path.clone());
        // A client that has enough goes away.
        std::thread::spawn(move || drop(serve(&socket, &path)));
    }
    Ok(())
}

fn serve(mut socket: &TcpStream, path: &str) -> Result<()> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut requests = BufReader::new(socket).lines();
    loop {
        let mut range = None;
        loop {
            let Some(line) = requests.next().transpose()? else { return Ok(()) };
            if line.is_empty() {
                break;
            }
            let value = line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned);
            range = range.or(value.as_deref().and_then(|value| parse(value, size)));
        }
        let (from, to) = range.unwrap_or((0, size));
        let (status, place) = match range {
            Some(_) => ("206 x", format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1)),
            None => ("200 x", String::new()),
        };
        let length = to - from;
        write!(socket, "HTTP/1.1 {status}\r\nETag: \"one\"\r\n{place}Content-Length: {length}\r\n\r\n")?;
        file.seek(SeekFrom::Start(from))?;
        // By sendfile.
        std::io::copy(&mut (&mut file).take(length), &mut socket)?;
    }
}

/// `5-9` is from 5 to before 10; without a last one it is to the end.
fn parse(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    let to = if last.is_empty() { size } else { size.min(last.parse::<u64>().ok()? + 1) };
    Some((first.parse().ok()?, to))
}
