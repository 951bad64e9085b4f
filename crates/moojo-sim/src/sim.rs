use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use moojo_session::Clock;

use crate::moojo::Moojo;
use crate::server::{Server, Shared};
use crate::settings::Settings;
use crate::{
    Fault, InjectedFault, IssuedToken, MoojoSimBuilder, RecordedRequest, SimError, SmsMessage,
};

/// A running simulated Moojo. Dropping it stops it.
///
/// All methods take `&self`: share it between tasks in an [`Arc`].
pub struct MoojoSim {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: Server,
}

impl MoojoSim {
    /// The api key of a simulator that was given none.
    pub const DEFAULT_API_KEY: &str = "moojo-sim-api-key";

    /// Starts with the system's clock, [`DEFAULT_API_KEY`](Self::DEFAULT_API_KEY) and a free port
    /// of 127.0.0.1.
    ///
    /// # Errors
    /// [`SimError::Bind`] if no port can be listened on.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn start() -> Result<Self, SimError> {
        Self::builder().start().await
    }

    /// For all that can be set.
    pub fn builder() -> MoojoSimBuilder {
        MoojoSimBuilder::new()
    }

    pub(crate) async fn launch(
        bind: SocketAddr,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, SimError> {
        let shared = Arc::new(Shared::new(Moojo::new(clock, settings)));
        let (server, addr) = Server::start(bind, Arc::clone(&shared))
            .await
            .map_err(|source| SimError::Bind { addr: bind, source })?;
        Ok(Self { addr, shared, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL of its API, such as `http://127.0.0.1:8787`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The page that shows the messages as a phone would.
    pub fn phone_url(&self) -> String {
        format!("{}/sim/phone", self.base_url())
    }

    /// The key that callers must send.
    pub fn api_key(&self) -> &str {
        &self.shared.moojo.settings.api_key
    }

    /// Stops listening, closes every connection, answered or not, and waits until that is done.
    /// Records and messages can still be read. A second call does nothing.
    pub async fn shutdown(&self) {
        self.server.shutdown().await;
    }

    /// The messages to a number, oldest first. Numbers are compared by their digits, so that the
    /// way they are written does not matter.
    pub fn inbox(&self, phone: &str) -> Vec<SmsMessage> {
        self.shared.moojo.inbox(Some(phone))
    }

    /// All messages, oldest first.
    pub fn messages(&self) -> Vec<SmsMessage> {
        self.shared.moojo.inbox(None)
    }

    /// The code of the latest message to a number, whether it is still good or not.
    pub fn last_code(&self, phone: &str) -> Option<String> {
        self.shared.moojo.last_code(phone)
    }

    /// How many messages were sent to anybody since the start.
    pub fn sms_count(&self) -> usize {
        *self.shared.moojo.sms_count().borrow()
    }

    /// Ends when at least `count` messages have been sent since the start.
    pub async fn wait_for_sms(&self, count: usize) {
        // A closed channel cannot be: `self` holds its sender.
        let _ = self.shared.moojo.sms_count().wait_for(|sent| *sent >= count).await;
    }

    /// The requests to the API, in the order in which they came whole. Those to the simulator's own
    /// pages (`/` and `/sim/…`) are not among them.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.recorder.all()
    }

    /// The requests to one path.
    pub fn requests_to(&self, path: &str) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.recorder.clear();
    }

    /// Ends when at least `count` requests have come since the start or the last
    /// [`clear_requests`](Self::clear_requests), whether they were answered or not.
    pub async fn wait_for_requests(&self, count: usize) {
        // A closed channel cannot be: `self` holds its sender.
        let _ = self.shared.recorder.count().wait_for(|seen| *seen >= count).await;
    }

    /// How many connections were accepted since the start.
    pub fn connection_count(&self) -> u64 {
        self.shared.connection_count()
    }

    /// A token for the user of this number, made at once, without a code or a request.
    pub fn login(&self, phone: &str) -> IssuedToken {
        self.shared.moojo.login(phone)
    }

    /// From now on this token is refused. Says whether it was live until now.
    pub fn revoke_token(&self, token: &str) -> bool {
        self.shared.moojo.revoke_token(token)
    }

    /// From now on all tokens of this number's user are refused; later logins are not concerned.
    /// Says how many were live until now.
    pub fn revoke_user(&self, phone: &str) -> usize {
        self.shared.moojo.revoke_user(phone)
    }

    /// The `publicUserId` of the user that this token was given to, even if it has ended since.
    pub fn user_of(&self, token: &str) -> Option<String> {
        self.shared.moojo.owner_of(token)
    }

    /// Whether the token would be accepted now.
    pub fn is_live(&self, token: &str) -> bool {
        self.shared.moojo.is_live(token)
    }

    /// The `publicUserId` of the user who logs in with this number; none before the first login.
    pub fn public_user_id(&self, phone: &str) -> Option<String> {
        Some(self.shared.moojo.user_of_phone(phone)?.public_user_id)
    }

    /// The `recipientAddress` in the credentials of this number's user; none before the first
    /// login.
    pub fn recipient_address(&self, phone: &str) -> Option<String> {
        Some(self.shared.moojo.user_of_phone(phone)?.recipient_address)
    }

    /// Lets this Firebase JWT stand for the user of this number. One that was not linked stands for
    /// a user of its own.
    pub fn link_jwt(&self, jwt: &str, phone: &str) {
        self.shared.moojo.link_jwt(jwt, phone);
    }

    /// From now on this Firebase JWT is refused at the login.
    pub fn refuse_jwt(&self, jwt: &str) {
        self.shared.moojo.refuse_jwt(jwt);
    }

    /// Puts a fault in force, behind those that are.
    pub fn inject(&self, fault: Fault) -> InjectedFault {
        InjectedFault(self.shared.faults.inject(fault))
    }

    /// Ends all faults, and releases the requests that they have frozen.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}

impl fmt::Debug for MoojoSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MoojoSim").field("addr", &self.addr).finish_non_exhaustive()
    }
}
