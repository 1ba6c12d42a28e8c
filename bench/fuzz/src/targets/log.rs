//! Files by themselves: one journal file, the two copies of a superblock.

use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use flumen_io::{Access, Buf, Durability, File, Host, Machine};
use flumen_log::journal;
use flumen_log::superblock::{FEATURES_KNOWN, FORMAT_VERSION, Superblock};
use flumen_model::limits::BLOCK_BYTES;
use std::path::Path;
use std::sync::mpsc;

pub(super) fn journal(data: &[u8]) {
    let report = journal::fuzz_scan_file(data);
    for damage in &report.damage {
        assert!(damage.from < damage.to, "damage has a place: {damage:?}");
    }
}

/// Runs one core of a simulated machine and returns what its main returned.
pub(crate) fn on_core<T: Send + 'static, F: Future<Output = T> + 'static>(
    world: &MemWorld,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let main = move |host| async move { sender.send(main(host).await).expect("somebody waits") };
    MemMachine::new(world.clone(), 1).run(vec![main]).expect("the run ends");
    receiver.try_recv().expect("the main returned")
}

/// Both copies of a superblock are these bytes; what is believed can be written and read again.
pub(super) fn superblock(data: &[u8]) {
    let data = data.to_vec();
    on_core(&MemWorld::new(), |host| async move {
        let dir = Path::new("/data");
        host.create_dir_all(dir).await.expect("made");
        for copy in ["super.A", "super.B"] {
            put(&host, &dir.join(copy), &data).await;
        }
        let Ok(Some(mut block)) = Superblock::load(&host, dir).await else { return };
        assert!(block.reader_version_min <= FORMAT_VERSION, "a newer format is refused");
        assert_eq!(block.features & !FEATURES_KNOWN, 0, "unknown features are refused");
        if block.sequence < u64::MAX {
            block.store(&host, dir).await.expect("the disk is well");
            assert_eq!(Superblock::load(&host, dir).await, Ok(Some(block)));
        }
    });
}

/// Writes a file as long as `data`, but for a last block that is not whole.
async fn put(host: &MemHost, path: &Path, data: &[u8]) {
    let file = host.open(path, Access::WRITE).await.expect("opened");
    let whole = data.len() - data.len() % BLOCK_BYTES;
    if whole > 0 {
        let mut buf = host.buf(whole);
        buf.bytes_mut().copy_from_slice(&data[..whole]);
        file.write_at(buf, 0, Durability::Volatile).await.0.expect("written");
    }
}
