use async_trait::async_trait;
use chrono::Utc;
use moojo_session::{Change, ChangeStream, Session, SessionId, SessionStore, StoreError, UserId};

use crate::request::{Request, bytes, yes_or_no};
use crate::store::RedisStore;
use crate::{feed, millis, record, script};

/// One command or script a call, on the user's key; what changes is published in the same script.
#[async_trait]
impl SessionStore for RedisStore {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        let value = self.client().get(self.keys().session(user)).await?;
        match bytes(value)? {
            Some(record) => record::session(&record, user),
            None => Ok(None),
        }
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let user = session.user();
        let Some(life) = millis::left(session.expires_at(), Utc::now()) else {
            // It has ended: whatever was there is replaced by nothing.
            return self.remove(user).await.map(|_| ());
        };
        let message = feed::message(&Change::Saved { user: user.clone(), id: session.id() });
        let request = Request::script(&script::SAVE, self.keys().session(user))
            .secret(session.to_exposed_bytes())
            .arg(life.to_string())
            .arg(self.keys().channel())
            .arg(message);
        yes_or_no(&self.client().call(request).await?)?;
        Ok(())
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        Ok(yes_or_no(&self.client().call(self.removal(self.keys().session(user), user)).await?)?)
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        let request = Request::script(&script::REMOVE_IF_CURRENT, self.keys().session(user))
            .arg(id.to_bytes())
            .arg(self.keys().channel())
            .arg(feed::message(&Change::Removed { user: user.clone() }));
        Ok(yes_or_no(&self.client().call(request).await?)?)
    }

    fn changes(&self) -> ChangeStream {
        self.feed().changes()
    }
}
