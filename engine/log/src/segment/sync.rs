//! Making what was spread durable: the files written since the last time, the directories with new names. Off the
//! ack path. A flush that failed is never tried again: nobody knows what it left on the disk.

use super::files::FileKind;
use super::segments::Segments;
use flumen_io::{File, Host};
use flumen_model::{Code, Error, Result};
use std::io;
use std::path::{Path, PathBuf};

impl<H: Host> Segments<H> {
    pub(super) fn note_dirty_dir(&self, dir: &Path) {
        let dirs = &mut self.inner_mut().dirty_dirs;
        if !dir.as_os_str().is_empty() && !dirs.iter().any(|known| known == dir) {
            dirs.push(dir.to_owned());
        }
    }

    /// Makes everything spread so far durable: files, index blocks, names. After an error nobody knows what is on
    /// disk: this partition's log has failed, and neither spreads nor syncs again before a restart.
    pub async fn sync(&self, host: &H) -> Result<()> {
        let _turn = self.turn.enter(1).await;
        self.check_failed()?;
        if self.inner().retired {
            return Ok(());
        }
        // The lists stay until all is done: when this wait is dropped, the next sync does it again.
        let (dirty, dirs) = {
            let inner = self.inner();
            (inner.dirty.clone(), inner.dirty_dirs.clone())
        };
        let result = self.sync_all(host, &dirty, &dirs).await;
        let inner = &mut *self.inner_mut();
        match &result {
            Ok(()) => {
                inner.dirty.clear();
                inner.dirty_dirs.clear();
            }
            Err(_) => inner.failed = true,
        }
        result
    }

    async fn sync_all(&self, host: &H, dirty: &[(u64, FileKind)], dirs: &[PathBuf]) -> Result<()> {
        let failed = |path: &Path, error: &io::Error| {
            Error::new(
                Code::LogFailed,
                format!("cannot make {} durable: {error}; restart the node", path.display()),
            )
        };
        for &(base_offset, kind) in dirty {
            let path = self.path(base_offset, kind);
            let file = match self.spec.open_files.get(self.owner, base_offset, kind) {
                Some(file) => file,
                None => {
                    host.open(&path, FileKind::WRITE_EXISTING).await.map_err(|error| failed(&path, &error))?
                }
            };
            file.sync_data().await.map_err(|error| failed(&path, &error))?;
        }
        for dir in dirs {
            host.sync_dir(dir).await.map_err(|error| failed(dir, &error))?;
        }
        Ok(())
    }
}
