use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::cut::{CutStream, CutSwitch};
use super::{Routers, Shared, exchange};

/// Serves one connection until either side closes it.
pub(super) async fn serve(stream: TcpStream, number: u64, shared: Arc<Shared>, routers: Routers) {
    let switch = Arc::new(CutSwitch::default());
    let io = TokioIo::new(CutStream::new(stream, Arc::clone(&switch)));
    let service = service_fn(|request| {
        exchange::answer(Arc::clone(&shared), routers.clone(), Arc::clone(&switch), number, request)
    });
    let connection = http1::Builder::new()
        // Ours comes from the simulator's clock.
        .auto_date_header(false)
        .serve_connection(io, service);
    tokio::select! {
        // An error is a peer that went away or does not speak HTTP: nobody is left to tell.
        _ = connection => {}
        () = switch.is_cut() => {}
    }
}
