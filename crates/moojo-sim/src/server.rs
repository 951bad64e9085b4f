//! The socket side: accepts connections, serves them, and cuts them when a fault says so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::api;
use crate::control;
use crate::fault::Faults;
use crate::moojo::Moojo;
use crate::record::Recorder;

mod body;
mod connection;
mod cut;
mod damage;
mod exchange;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) moojo: Arc<Moojo>,
    pub(crate) faults: Faults,
    pub(crate) recorder: Recorder,
    connections: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(moojo: Moojo) -> Self {
        let recorder = Recorder::new(moojo.settings.record_limit);
        let moojo = Arc::new(moojo);
        let connections = watch::Sender::new(0);
        Self { moojo, faults: Faults::default(), recorder, connections }
    }

    pub(crate) fn connection_count(&self) -> u64 {
        *self.connections.borrow()
    }
}

/// The tasks of a running server. Dropping it ends them all.
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    pub(crate) async fn start(
        bind: SocketAddr,
        shared: Arc<Shared>,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(bind).await?;
        let addr = listener.local_addr()?;
        let stop = watch::Sender::new(false);
        let accepting = tokio::spawn(accept(listener, shared, stop.subscribe()));
        Ok((Self { stop, accepting: Mutex::new(Some(accepting)) }, addr))
    }

    /// Ends when the port is free and every connection is closed.
    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        let accepting = self.accepting.lock().take();
        if let Some(accepting) = accepting {
            // An error would be a panic of the task, or its runtime going away: it has ended.
            let _ = accepting.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // With the task go its listener and, through its `JoinSet`, all connections.
        if let Some(accepting) = self.accepting.get_mut() {
            accepting.abort();
        }
    }
}

/// The two routers behind every connection.
#[derive(Clone)]
struct Routers {
    api: Router,
    control: Router,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let routers = Routers {
        api: api::router(Arc::clone(&shared.moojo)),
        control: control::router(Arc::clone(&shared)),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = next_number(&shared.connections);
                    // Saves waiting for acknowledgements; a failure costs only time.
                    let _ = stream.set_nodelay(true);
                    let routers = routers.clone();
                    let shared = Arc::clone(&shared);
                    connections.spawn(connection::serve(stream, number, shared, routers));
                }
                // Out of file descriptors, most likely: it passes, but not in a tight loop.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The other outcome, a closed channel, is that nobody is left to stop it.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn next_number(connections: &watch::Sender<u64>) -> u64 {
    connections.send_modify(|count| *count += 1);
    *connections.borrow()
}
