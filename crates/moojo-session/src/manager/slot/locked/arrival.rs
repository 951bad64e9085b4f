//! What a slot knows of the logins that are being saved.

use super::Locked;

impl Locked<'_> {
    /// A login is being saved: revocations are counted from now on. Says how many there were.
    pub(in crate::manager) fn begin_arrival(&mut self) -> u32 {
        let busy = self.busy();
        busy.logins += 1;
        busy.revocations
    }

    pub(in crate::manager) fn end_arrival(&mut self) {
        self.busy().logins -= 1;
    }

    pub(in crate::manager) fn revocations(&mut self) -> u32 {
        self.busy().revocations
    }
}
