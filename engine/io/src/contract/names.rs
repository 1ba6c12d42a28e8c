//! What directories, names, locks and space owe.

use super::{Stage, poll_once_and_drop};
use crate::{Access, File, Host, Machine, PathKind};
use std::io::ErrorKind;
use std::time::Duration;

pub(crate) fn directories_are_made_listed_and_removed<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let deep = dir.join("a/b/c");
        host.create_dir_all(&deep).await.unwrap();
        host.create_dir_all(&deep).await.unwrap();
        for name in ["z", "m", "k"] {
            host.open(&deep.join(name), Access::WRITE).await.unwrap().truncate(4096).await.unwrap();
        }
        host.sync_dir(&deep).await.unwrap();
        let names = host.list_dir(&deep).await.unwrap();
        assert_eq!(names, [deep.join("k"), deep.join("m"), deep.join("z")]);
        assert_eq!(host.path_kind(&deep).await.unwrap(), PathKind::Directory);
        assert_eq!(host.path_kind(&deep.join("m")).await.unwrap(), PathKind::File(4096));
        assert_eq!(host.remove_dir(&deep).await.unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        for name in names {
            host.remove_file(&name).await.unwrap();
        }
        host.remove_dir(&deep).await.unwrap();
        for missing in [host.path_kind(&deep).await.err(), host.list_dir(&deep).await.err()] {
            assert_eq!(missing.unwrap().kind(), ErrorKind::NotFound);
        }
        assert_eq!(host.remove_file(&deep).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

pub(crate) fn a_rename_replaces_the_target<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let (from, to) = (dir.join("from"), dir.join("to"));
        host.open(&to, Access::WRITE).await.unwrap();
        host.open(&from, Access::WRITE).await.unwrap().truncate(8192).await.unwrap();
        host.rename(&from, &to).await.unwrap();
        host.sync_dir(&dir).await.unwrap();
        assert_eq!(host.path_kind(&to).await.unwrap(), PathKind::File(8192));
        assert_eq!(host.path_kind(&from).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(host.rename(&from, &to).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

pub(crate) fn abandoned_changes_of_names_still_happen<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let (from, to) = (dir.join("from"), dir.join("to"));
        host.open(&from, Access::WRITE).await.unwrap();
        poll_once_and_drop(host.rename(&from, &to)).await;
        while host.path_kind(&to).await.is_err() {
            host.sleep(Duration::from_millis(1)).await;
        }
        poll_once_and_drop(host.remove_file(&to)).await;
        while host.path_kind(&to).await.is_ok() {
            host.sleep(Duration::from_millis(1)).await;
        }
    });
}

pub(crate) fn a_lock_has_one_holder<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let path = dir.join("lock");
        let held = host.lock(&path).await.unwrap();
        for _ in 0..2 {
            assert_eq!(host.lock(&path).await.err().unwrap().kind(), ErrorKind::WouldBlock);
        }
        let other = host.lock(&dir.join("other")).await.unwrap();
        drop(held);
        let _held = host.lock(&path).await.unwrap();
        drop(other);
    });
}

pub(crate) fn space_is_told<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let space = host.space(&dir).await.unwrap();
        assert!(space.free > 0 && space.free <= space.total);
        assert_eq!(host.space(&dir.join("missing")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}
