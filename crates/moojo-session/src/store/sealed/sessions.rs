use async_trait::async_trait;

use super::SealedStore;
use super::place::Place;
use crate::secret::AccessToken;
use crate::session::{Session, SessionId};
use crate::store::{
    ChangeStream, Page, PageToken, SessionAdmin, SessionStore, StoreError, StoreErrorKind,
};
use crate::user::UserId;

/// What [`SealedStore::reseal`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Sessions that are now as this store writes them.
    pub resealed: u64,
    /// Sessions that were already, or that changed or ended meanwhile.
    pub kept: u64,
    /// Sessions that cannot be read, or do not open. They stay as they are.
    pub unreadable: u64,
}

impl<S> SealedStore<S> {
    fn place_of(&self, session: &Session) -> Place {
        let [issued, ends] = session.nanos().map(i64::to_be_bytes);
        let (user, id) = (session.user().as_str().as_bytes(), session.id().to_bytes());
        self.place("moojo-session sealed token v1", &[user, &id, &issued, &ends])
    }

    fn sealed(&self, session: &Session) -> Result<Session, StoreError> {
        let token = session.access_token();
        let sealed = self.seal(token.expose_secret(), &self.place_of(session))?;
        let Some(sealed) = sealed else { return Ok(session.clone()) };
        let token = AccessToken::kept(sealed).map_err(StoreError::refused)?;
        session.with_token(token).map_err(StoreError::refused)
    }

    /// The session that was found in the place of `user`.
    fn opened(&self, user: &UserId, kept: Session) -> Result<Session, StoreError> {
        if kept.user() != user {
            return Err(StoreError::corrupt("the session in the user's place is another user's"));
        }
        let opened = self.open(kept.access_token().expose_secret(), &self.place_of(&kept))?;
        let Some(opened) = opened else { return Ok(kept) };
        let token = AccessToken::kept(opened).map_err(StoreError::corrupt)?;
        kept.with_token(token).map_err(StoreError::corrupt)
    }
}

impl<S: SessionAdmin> SealedStore<S> {
    /// Writes all sessions anew that are not as this store writes them: sealed with the current key,
    /// or plain where it seals nothing ([`Sealing::Allow`](super::Sealing::Allow)). They may be in
    /// use meanwhile, and several processes may do it at once. If it fails or is dropped, some were
    /// written: call it again. It opens each, also those that stay as they are: a key whose bytes are not
    /// those of the key of that name shows as [`unreadable`](Resealed::unreadable).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn reseal(&self) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        let mut after = None;
        loop {
            let page = self.store.list(after.as_ref(), 500).await?;
            for info in page.sessions {
                self.reseal_one(&info.user, &mut done).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(done);
            }
        }
    }

    /// Writes this user's session anew if it has to be, and counts it.
    async fn reseal_one(&self, user: &UserId, done: &mut Resealed) -> Result<(), StoreError> {
        let kept = match self.store.load(user).await {
            // The others are not to wait for it.
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                done.unreadable += 1;
                return Ok(());
            }
            loaded => loaded?,
        };
        let Some(kept) = kept else {
            done.kept += 1;
            return Ok(());
        };
        let is_current = self.is_current(kept.access_token().expose_secret());
        // Opened also if it is not written: another key may have the same name.
        let Ok(session) = self.opened(user, kept) else {
            done.unreadable += 1;
            return Ok(());
        };
        if is_current {
            done.kept += 1;
            return Ok(());
        }
        if self.store.replace_if_current(&self.sealed(&session)?).await? {
            done.resealed += 1;
        } else {
            done.kept += 1;
        }
        Ok(())
    }
}

#[async_trait]
impl<S: SessionStore> SessionStore for SealedStore<S> {
    async fn load(&self, user: &UserId) -> Result<Option<Session>, StoreError> {
        self.store.load(user).await?.map(|kept| self.opened(user, kept)).transpose()
    }

    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.store.save(&self.sealed(session)?).await
    }

    async fn remove(&self, user: &UserId) -> Result<bool, StoreError> {
        self.store.remove(user).await
    }

    async fn remove_if_current(&self, user: &UserId, id: SessionId) -> Result<bool, StoreError> {
        self.store.remove_if_current(user, id).await
    }

    fn changes(&self) -> ChangeStream {
        self.store.changes()
    }
}

#[async_trait]
impl<S: SessionAdmin> SessionAdmin for SealedStore<S> {
    async fn list(&self, after: Option<&PageToken>, limit: usize) -> Result<Page, StoreError> {
        self.store.list(after, limit).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.store.count().await
    }

    async fn remove_all(&self) -> Result<u64, StoreError> {
        self.store.remove_all().await
    }

    async fn replace_if_current(&self, session: &Session) -> Result<bool, StoreError> {
        self.store.replace_if_current(&self.sealed(session)?).await
    }
}
