use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stands between a client and a server, and does to their connections what networks do.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    fault: watch::Sender<Fault>,
    /// How many were made so far.
    connections: watch::Sender<u64>,
    /// Bytes from clients still to be let through before everything is cut; `u64::MAX`: no end.
    bytes_up: AtomicU64,
    /// The same of those from the server.
    bytes_down: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Nothing passes, and nothing is closed.
    Frozen,
    /// Each piece takes this long.
    Slow(Duration),
    /// Connections are cut as they are made.
    Down,
    /// All connections are cut once, and work again after.
    Cut(u64),
}

impl Proxy {
    /// A proxy on a free port of this machine in front of the server on this one.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            server: (Ipv4Addr::LOCALHOST, server_port).into(),
            fault: watch::Sender::new(Fault::None),
            connections: watch::Sender::new(0),
            bytes_up: AtomicU64::new(u64::MAX),
            bytes_down: AtomicU64::new(u64::MAX),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, accepting }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made to it so far, whatever became of them.
    pub fn connections(&self) -> u64 {
        *self.shared.connections.borrow()
    }

    /// Waits until so many were made.
    pub async fn reaches(&self, connections: u64) {
        let mut made = self.shared.connections.subscribe();
        let _ = made.wait_for(|made| *made >= connections).await;
    }

    /// Lets nothing pass from now on, and closes nothing.
    pub fn freeze(&self) {
        self.shared.fault.send_replace(Fault::Frozen);
    }

    /// Holds each piece up for this long.
    pub fn slow(&self, by: Duration) {
        self.shared.fault.send_replace(Fault::Slow(by));
    }

    /// Cuts all connections, and those that are made from now on.
    pub fn go_down(&self) {
        self.shared.fault.send_replace(Fault::Down);
    }

    /// Cuts the connections there are. New ones work.
    pub fn cut(&self) {
        self.shared.fault.send_modify(|fault| {
            *fault = match fault {
                Fault::Cut(n) => Fault::Cut(*n + 1),
                _ => Fault::Cut(0),
            }
        });
    }

    /// Lets so many more bytes of the clients through, and then goes down.
    pub fn cut_after_sent(&self, bytes: u64) {
        self.shared.bytes_up.store(bytes, Ordering::SeqCst);
    }

    /// Lets so many more bytes of the server through, and then goes down.
    pub fn cut_after_received(&self, bytes: u64) {
        self.shared.bytes_down.store(bytes, Ordering::SeqCst);
    }

    /// Ends all faults. What was cut stays cut.
    pub fn heal(&self) {
        self.shared.bytes_up.store(u64::MAX, Ordering::SeqCst);
        self.shared.bytes_down.store(u64::MAX, Ordering::SeqCst);
        self.shared.fault.send_replace(Fault::None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_down();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        shared.connections.send_modify(|made| *made += 1);
        if *shared.fault.borrow() == Fault::Down {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(shared.server).await else { return };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let mut fault = shared.fault.subscribe();
            let generation = *fault.borrow_and_update();
            let cut = async {
                // Down, or cut since this connection was made.
                let is_over = |now: &Fault| {
                    *now == Fault::Down || matches!(now, Fault::Cut(_) if *now != generation)
                };
                let _ = fault.wait_for(is_over).await;
            };
            tokio::select! {
                () = cut => {}
                () = pass(from_client, to_server, &shared, &shared.bytes_up) => {}
                () = pass(from_server, to_client, &shared, &shared.bytes_down) => {}
            }
        });
    }
}

/// Passes on what comes until either end closes, or the number of bytes is used up.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, left: &AtomicU64) {
    let mut buffer = vec![0; 16 * 1024];
    let mut fault = shared.fault.subscribe();
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let _ = fault.wait_for(|fault| *fault != Fault::Frozen).await;
        let now = *fault.borrow();
        if let Fault::Slow(by) = now {
            tokio::time::sleep(by).await;
        }
        let take = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(read as u64));
        let allowed = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .map_or(read, |before| usize::try_from(before).unwrap_or(read).min(read));
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed < read || left.load(Ordering::SeqCst) == 0 {
            shared.fault.send_replace(Fault::Down);
            return;
        }
    }
}
