//! What files owe: bytes, sizes, refusals, and safety when a wait is dropped.

use super::{Stage, eventually, poll_once_and_drop};
use crate::{Access, Buf, Durability, File, Host, Machine};
use flumen_model::limits::BLOCK_BYTES;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

const BLOCK: u64 = BLOCK_BYTES as u64;

fn filled<H: Host>(host: &H, blocks: usize, byte: u8) -> H::Buf {
    let mut buf = host.buf(blocks * BLOCK_BYTES);
    buf.bytes_mut().fill(byte);
    buf
}

async fn write<F: File>(file: &F, buf: F::Buf, block: u64, durability: Durability) -> F::Buf {
    let (result, buf) = file.write_at(buf, block * BLOCK, durability).await;
    result.unwrap();
    buf
}

async fn block_is<F: File>(file: &F, block: u64, byte: u8) {
    let bytes = file.read_at(block * BLOCK, BLOCK_BYTES).await.unwrap();
    assert!(
        bytes.len() == BLOCK_BYTES && bytes.iter().all(|b| *b == byte),
        "block {block} is not all {byte}"
    );
}

async fn created<H: Host>(host: &H, path: &Path) -> H::File {
    host.open(path, Access { create_new: true, ..Access::DURABLE }).await.unwrap()
}

pub(crate) fn what_was_written_is_read_back_after_reopening<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let path = dir.join("f");
        let file = created(&host, &path).await;
        let mut buf = filled(&host, 3, 0);
        buf.bytes_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i % 251) as u8);
        let buf = write(&file, buf, 2, Durability::Volatile).await;
        drop(file);
        let file = host.open(&path, Access::READ).await.unwrap();
        assert_eq!(file.size().unwrap(), 5 * BLOCK);
        assert_eq!(&file.read_at(2 * BLOCK, 3 * BLOCK_BYTES).await.unwrap()[..], buf.bytes());
        block_is(&file, 0, 0).await;
    });
}

pub(crate) fn durable_writes_and_syncs_keep_the_bytes<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        let buf = write(&file, filled(&host, 1, 7), 0, Durability::Durable).await;
        let mut buf = write(&file, buf, 1, Durability::Volatile).await;
        file.sync_data().await.unwrap();
        buf.bytes_mut().fill(8);
        write(&file, buf, 1, Durability::Durable).await;
        block_is(&file, 0, 7).await;
        block_is(&file, 1, 8).await;
    });
}

pub(crate) fn what_direct_files_cannot_do_is_refused<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let path = dir.join("f");
        assert_eq!(host.open(&path, Access::READ).await.err().unwrap().kind(), ErrorKind::NotFound);
        let file = host.open(&path, Access::WRITE).await.unwrap();
        let (unaligned, buf) = file.write_at(filled(&host, 1, 1), 512, Durability::Volatile).await;
        assert_eq!(unaligned.unwrap_err().kind(), ErrorKind::InvalidInput);
        let (not_durable, buf) = file.write_at(buf, 0, Durability::Durable).await;
        assert_eq!(not_durable.unwrap_err().kind(), ErrorKind::InvalidInput);
        for (position, len) in [(1, BLOCK_BYTES), (0, 100), (0, 0)] {
            let read = file.read_at(position, len).await;
            assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidInput, "{len} at {position}");
        }
        let read_only = host.open(&path, Access::READ).await.unwrap();
        let (refused, _) = read_only.write_at(buf, 0, Durability::Volatile).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(read_only.truncate(0).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(file.size().unwrap(), 0, "nothing refused has left a trace");
    });
}

pub(crate) fn a_read_ends_at_the_end_of_the_file<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        write(&file, filled(&host, 2, 5), 0, Durability::Volatile).await;
        assert_eq!(file.read_at(BLOCK, 4 * BLOCK_BYTES).await.unwrap().len(), BLOCK_BYTES);
        assert!(file.read_at(2 * BLOCK, BLOCK_BYTES).await.unwrap().is_empty());
        assert!(file.read_at(9 * BLOCK, BLOCK_BYTES).await.unwrap().is_empty());
        file.truncate(BLOCK + 1000).await.unwrap();
        let tail = file.read_at(BLOCK, BLOCK_BYTES).await.unwrap();
        assert_eq!(&tail[..], &[5; 1000]);
    });
}

pub(crate) fn reserved_space_reads_as_zeros<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        write(&file, filled(&host, 1, 9), 0, Durability::Volatile).await;
        file.allocate(0, 8 * BLOCK).await.unwrap();
        assert_eq!(file.size().unwrap(), 8 * BLOCK);
        block_is(&file, 0, 9).await;
        block_is(&file, 7, 0).await;
        file.allocate(0, BLOCK).await.unwrap();
        assert_eq!(file.size().unwrap(), 8 * BLOCK, "reserving never shrinks");
    });
}

pub(crate) fn truncate_cuts_and_extends_with_zeros<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        write(&file, filled(&host, 4, 3), 0, Durability::Durable).await;
        file.truncate(BLOCK).await.unwrap();
        assert_eq!(file.size().unwrap(), BLOCK);
        file.truncate(4 * BLOCK).await.unwrap();
        block_is(&file, 0, 3).await;
        block_is(&file, 2, 0).await;
        write(&file, filled(&host, 1, 4), 3, Durability::Volatile).await;
        file.sync_data().await.unwrap();
        block_is(&file, 1, 0).await;
        block_is(&file, 3, 4).await;
    });
}

pub(crate) fn concurrent_writes_all_land<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        let writes: Vec<_> = (0..64u8)
            .map(|n| {
                let (file, buf) = (file.clone(), filled(&host, 1, n));
                let durability = if n % 3 == 0 { Durability::Durable } else { Durability::Volatile };
                host.spawn(async move { write(&file, buf, u64::from(n), durability).await })
            })
            .collect();
        for (n, write) in writes.into_iter().enumerate() {
            assert!(write.await.bytes().iter().all(|b| *b == n as u8), "its own buffer comes back");
        }
        for n in 0..64u8 {
            block_is(&file, u64::from(n), n).await;
        }
    });
}

pub(crate) fn a_dropped_write_harms_neither_memory_nor_file<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        write(&file, filled(&host, 32, 1), 0, Durability::Durable).await;
        for round in 0..4 {
            for block in 0..32u64 {
                let durability = if block % 2 == 0 { Durability::Durable } else { Durability::Volatile };
                poll_once_and_drop(file.write_at(filled(&host, 1, 2), block * BLOCK, durability)).await;
                if round % 2 == 1 {
                    host.yield_now().await;
                }
            }
            // Whoever gets the memory of the dropped buffers too early spoils the file.
            let poison: Vec<_> = (0..64).map(|_| filled(&host, 1, 0xEE)).collect();
            host.sleep(Duration::from_millis(5)).await;
            drop(poison);
        }
        for block in 0..32u64 {
            let bytes = file.read_at(block * BLOCK, BLOCK_BYTES).await.unwrap();
            let whole = bytes.iter().all(|b| *b == 1) || bytes.iter().all(|b| *b == 2);
            assert!(whole, "block {block} is neither old nor new");
        }
        write(&file, filled(&host, 1, 3), 5, Durability::Durable).await;
        block_is(&file, 5, 3).await;
        // The last descriptor may go while a dropped write is still under way.
        poll_once_and_drop(file.write_at(filled(&host, 1, 4), 0, Durability::Durable)).await;
        drop(file);
        let file = host.open(&dir.join("other"), Access::WRITE).await.unwrap();
        host.sleep(Duration::from_millis(5)).await;
        assert_eq!(file.size().unwrap(), 0, "the write did not go to another file");
    });
}

pub(crate) fn a_file_outlives_its_name_and_keeps_its_size<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let (old, new) = (dir.join("old"), dir.join("new"));
        let file = created(&host, &old).await;
        write(&file, filled(&host, 2, 6), 0, Durability::Volatile).await;
        host.rename(&old, &new).await.unwrap();
        let other = created(&host, &old).await;
        assert_eq!((file.size().unwrap(), other.size().unwrap()), (2 * BLOCK, 0));
        let clone = file.clone();
        drop(file);
        host.remove_file(&new).await.unwrap();
        write(&clone, filled(&host, 1, 7), 2, Durability::Durable).await;
        block_is(&clone, 2, 7).await;
        assert_eq!(clone.size().unwrap(), 3 * BLOCK);
    });
}

pub(crate) fn abandoned_changes_of_size_still_happen<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let file = created(&host, &dir.join("f")).await;
        poll_once_and_drop(file.truncate(3 * BLOCK)).await;
        eventually(&host, "the cut", || file.size().unwrap() == 3 * BLOCK).await;
        poll_once_and_drop(file.allocate(0, 6 * BLOCK)).await;
        eventually(&host, "the reservation", || file.size().unwrap() == 6 * BLOCK).await;
    });
}

pub(crate) fn create_new_refuses_what_is_there<M: Machine>(stage: Stage<M>) {
    stage.one_core(|host, dir| async move {
        let path = dir.join("f");
        drop(created(&host, &path).await);
        let again = host.open(&path, Access { create_new: true, ..Access::WRITE }).await;
        assert_eq!(again.err().unwrap().kind(), ErrorKind::AlreadyExists);
        host.open(&path, Access::WRITE).await.unwrap();
    });
}
