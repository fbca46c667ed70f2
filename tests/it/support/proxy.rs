//! A way through the network that a test can close: a listener on a port of its own that hands every byte on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Each piece waits for so long.
    Slow(Duration),
    /// Nothing is lost and nothing arrives.
    Held,
    /// Connections are closed on both sides, new ones at once.
    Cut,
    /// The server sees its connections closed, the client sees nothing at all.
    Silent,
}

/// The proxy. It ends with the runtime of its test.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    accepted: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one in front of a port of 127.0.0.1.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, seen) = watch::channel(Way::Open);
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, server, seen.clone()));
            }
        });
        Self { port, way, accepted }
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it was asked for.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Hands everything on again. What was silent is closed now.
    pub(crate) fn open(&self) {
        self.way.send_replace(Way::Open);
    }

    /// Lets each piece wait for so long.
    pub(crate) fn slow(&self, delay: Duration) {
        self.way.send_replace(Way::Slow(delay));
    }

    /// Keeps every byte until it is opened.
    pub(crate) fn hold(&self) {
        self.way.send_replace(Way::Held);
    }

    /// Closes all connections on both sides, and those that are made later.
    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// A cut that only the server notices, as its keepalives would let it: the client hears nothing any more.
    pub(crate) fn silence(&self) {
        self.way.send_replace(Way::Silent);
    }
}

async fn carry(client: TcpStream, server: u16, mut way: watch::Receiver<Way>) {
    let now = *way.borrow_and_update();
    if now == Way::Cut {
        return;
    }
    let (mut client_reads, mut client_writes) = client.into_split();
    if now != Way::Silent
        && let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await
    {
        let (mut server_reads, mut server_writes) = server.into_split();
        let mut changes = way.clone();
        tokio::select! {
            () = pump(&mut client_reads, &mut server_writes, way.clone()) => return,
            () = pump(&mut server_reads, &mut client_writes, way.clone()) => return,
            is_silent = closed(&mut changes) => if !is_silent { return; },
        }
    }
    // The server's side is closed by now; the client's is kept until the way is another one.
    let _ = way.wait_for(|way| *way != Way::Silent).await;
    drop((client_reads, client_writes));
}

/// Comes back when connections are to be closed; says whether the client is to notice nothing.
async fn closed(way: &mut watch::Receiver<Way>) -> bool {
    way.wait_for(|way| matches!(way, Way::Cut | Way::Silent)).await.is_ok_and(|way| *way == Way::Silent)
}

/// Until one side closes. A side that only ends its stream closes the whole: none of the protocols here does.
async fn pump(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let Ok(length) = from.read(&mut piece).await else { return };
        let Ok(now) = way.wait_for(|way| *way != Way::Held).await.map(|way| *way) else { return };
        if let Way::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if length == 0 || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
