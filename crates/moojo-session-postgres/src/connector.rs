//! Opens connections.

use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use moojo_session::StoreError;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Socket};

use crate::error::{no_connection, store_error};

/// What the server sends without being asked. The connection works while this is polled.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<AsyncMessage, Error>> + Send>>;

/// Where the server is, and how to get in.
pub(crate) struct Connector {
    pub(crate) config: Config,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
    /// For one attempt as a whole.
    pub(crate) limit: Duration,
}

impl Connector {
    pub(crate) async fn open(&self) -> Result<(Client, Messages), StoreError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return self.open_with(tls.clone()).await;
        }
        self.open_with(NoTls).await
    }

    async fn open_with<T>(&self, tls: T) -> Result<(Client, Messages), StoreError>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let opened = tokio::time::timeout(self.limit, self.config.connect(tls)).await;
        let opened = opened.map_err(|_| no_connection(self.limit))?;
        let (client, mut connection) = opened.map_err(|error| store_error(&error))?;
        let mut over = false;
        let messages = stream::poll_fn(move |cx| {
            // It must not be polled after its end.
            if over {
                return std::task::Poll::Ready(None);
            }
            let message = connection.poll_message(cx);
            over = matches!(message, std::task::Poll::Ready(None | Some(Err(_))));
            message
        });
        Ok((client, Box::pin(messages)))
    }
}
