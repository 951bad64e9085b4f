//! A file that this process may not write.

use std::path::Path;

use moojo_session::{SessionStore, StoreErrorKind};

use crate::{chain, child, eventually, file, login, open};

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_written_refuses_and_recovers() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let mut command = child::command("read only", Path::new("its own"));
    let folder = tempfile::tempdir().unwrap();
    if std::fs::metadata(folder.path()).unwrap().uid() == 0 {
        // Root may write everything; nobody may not.
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("refused and recovered"));
}

/// The child.
pub(crate) async fn in_a_file_that_cannot_be_written() {
    let (_folder, path) = file();
    // It stays open: the files beside the file are its own.
    let owner = open(&path).await;
    let alice = login("alice");
    owner.save(&alice).await.unwrap();
    let set_read_only = |read_only: bool| {
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut permissions,
            if read_only { 0o400 } else { 0o600 },
        );
        #[cfg(not(unix))]
        permissions.set_readonly(read_only);
        std::fs::set_permissions(&path, permissions).unwrap();
    };
    set_read_only(true);
    let store = open(&path).await;
    assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice.clone()));
    for _ in 0..3 {
        let error = store.check().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
        let error = store.save(&login("bob")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Refused, "{}", chain(&error));
        assert_eq!(store.load(alice.user()).await.unwrap(), Some(alice.clone()));
    }
    set_read_only(false);
    eventually("the store works again", async || store.save(&login("bob")).await.is_ok()).await;
    eventually("a check", async || store.check().await.is_ok()).await;
    child::say("refused and recovered");
}
