//! Makes journal files: every byte written once, with noise, so that no later write finds a block that the
//! filesystem or the device has yet to allocate. Never touches a file that holds a journal.

use flumen_io::{Access, Buf, Durability, File, Host, PathKind};
use flumen_model::limits::BLOCK_BYTES;
use flumen_model::{Code, Error, Result};

use super::file::{COPIES, FileHeader};
use super::scan::failed;
use super::spec::JournalSpec;

/// Bytes of one write.
const WRITE_BYTES: u64 = 1024 * 1024;

/// Makes the files of a journal, durably, and reports the bytes done and in all as it goes.
///
/// A crash leaves files that the next call writes again.
///
/// # Errors
/// A file already holds a journal, or the disk fails.
pub async fn format<H: Host>(host: &H, spec: &JournalSpec, mut progress: impl FnMut(u64, u64)) -> Result<()> {
    spec.check();
    let dir_failed = |error| {
        let message = format!("the journal directory {} cannot be made: {error}", spec.dir.display());
        Error::new(Code::LogFailed, message)
    };
    host.create_dir_all(&spec.dir).await.map_err(dir_failed)?;
    let total = spec.file_bytes * spec.files as u64;
    for slot in 0..spec.files {
        refuse_used(host, spec, slot).await?;
        let before = spec.file_bytes * slot as u64;
        prewrite(host, spec, slot, |done| progress(before + done, total)).await?;
    }
    host.sync_dir(&spec.dir).await.map_err(dir_failed)?;
    if let Some(parent) = spec.dir.parent() {
        host.sync_dir(parent).await.map_err(dir_failed)?;
    }
    Ok(())
}

/// Refuses a file that holds a journal.
async fn refuse_used<H: Host>(host: &H, spec: &JournalSpec, slot: usize) -> Result<()> {
    let path = spec.file_path(slot);
    if !matches!(host.path_kind(&path).await, Ok(PathKind::File(bytes)) if bytes > 0) {
        return Ok(());
    }
    let file = host.open(&path, Access::READ).await.map_err(|error| failed(spec, slot, "opened", &error))?;
    let front = file.read_at(0, COPIES * BLOCK_BYTES).await;
    let front = front.map_err(|error| failed(spec, slot, "read", &error))?;
    if FileHeader::newest(&front).is_none() {
        return Ok(());
    }
    let message =
        format!("{} already holds a journal: move the directory away before formatting it", path.display());
    Err(Error::new(Code::InvalidRequest, message))
}

/// Writes one file full of noise and flushes it. Its directory is not flushed.
pub(crate) async fn prewrite<H: Host>(
    host: &H,
    spec: &JournalSpec,
    slot: usize,
    mut progress: impl FnMut(u64),
) -> Result<H::File> {
    let written = |error| failed(spec, slot, "written", &error);
    let file = host
        .open(&spec.file_path(slot), Access::DURABLE)
        .await
        .map_err(|error| failed(spec, slot, "opened", &error))?;
    file.truncate(spec.file_bytes).await.map_err(written)?;
    file.allocate(0, spec.file_bytes).await.map_err(written)?;
    let mut chance = host.entropy();
    let mut buf = host.buf(WRITE_BYTES.min(spec.file_bytes) as usize);
    let mut done = 0;
    while done < spec.file_bytes {
        let bytes = WRITE_BYTES.min(spec.file_bytes - done);
        if bytes < buf.bytes().len() as u64 {
            buf = host.buf(bytes as usize);
        }
        fill_with_noise(buf.bytes_mut(), &mut chance);
        let (result, back) = file.write_at(buf, done, Durability::Volatile).await;
        result.map_err(written)?;
        buf = back;
        done += bytes;
        progress(done);
    }
    file.sync_data().await.map_err(|error| failed(spec, slot, "flushed", &error))?;
    Ok(file)
}

/// SplitMix64: noise that no device compresses or finds twice.
fn fill_with_noise(bytes: &mut [u8], chance: &mut u64) {
    for word in bytes.chunks_exact_mut(8) {
        *chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut noise = *chance;
        noise = (noise ^ (noise >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        noise = (noise ^ (noise >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word.copy_from_slice(&(noise ^ (noise >> 31)).to_le_bytes());
    }
}
