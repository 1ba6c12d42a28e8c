//! A data directory in one small file: its files without their blocks of zeros, in one Zstandard frame. It is written
//! from the simulated disk and put on any host's, so that many lives can begin at the same point. It knows nothing of
//! what the files hold.
//!
//! Inside the frame, all little-endian, for each file in the order of paths: u16 length and bytes of its path in the
//! data directory; u64 size; u32 number of runs; for each run u64 position, u32 length and bytes. What no run covers
//! is zero.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use bytes::{Buf as _, BufMut, Bytes};
use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use flumen_io::{Access, Buf, Durability, File, Host, Machine};
use flumen_model::ShardId;
use flumen_model::limits::BLOCK_BYTES;
use flumen_node::{NodeConfig, open_directory, shard_dir};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The distance over which the frame finds repeats: the whole journal, so that what lies in it and in a segment
/// counts once.
const WINDOW_LOG: u32 = 27;
const LEVEL: i32 = 12;
const RUN_BYTES_MAX: usize = 1 << 20;

/// One file of a directory.
struct Packed {
    path: PathBuf,
    size: u64,
    runs: Vec<(u64, Bytes)>,
}

/// A directory that was just formatted, with zeros in the place of the noise that its journal is made of: what is not
/// written yet says nothing, and noise cannot be packed.
pub fn formatted(config: NodeConfig) -> MemWorld {
    let world = MemWorld::new();
    let main = move |host: MemHost| async move {
        let found = open_directory(&host, &config, |_, _| {}).await.unwrap();
        for shard in (0..config.shards).map(ShardId) {
            let folder = shard_dir(&config.data, shard).join("journal");
            for path in host.list_dir(&folder).await.unwrap() {
                host.remove_file(&path).await.unwrap();
                let file = host.open(&path, Access::WRITE).await.unwrap();
                file.allocate(0, found.superblock.journal_file_bytes).await.unwrap();
                file.sync_data().await.unwrap();
            }
            host.sync_dir(&folder).await.unwrap();
        }
    };
    MemMachine::new(world.clone(), 1).run(vec![main]).unwrap();
    world
}

/// The directory on a simulated disk of its own.
pub fn unpacked(packed: &[u8], data: &Path) -> MemWorld {
    let world = MemWorld::new();
    let (packed, data) = (packed.to_vec(), data.to_path_buf());
    let main = |host: MemHost| async move { unpack(&host, &packed, &data).await };
    MemMachine::new(world.clone(), 1).run(vec![main]).unwrap();
    world
}

/// Everything below `data`, packed.
pub fn pack(world: &MemWorld, data: &Path) -> Vec<u8> {
    let encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL);
    let mut encoder = encoder.unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(WINDOW_LOG).unwrap();
    for (path, _) in world.files() {
        let bytes = world.read_file(&path).unwrap();
        let path = path.strip_prefix(data).expect("the disk holds nothing but the directory");
        encoder.write_all(&packed_file(path.to_str().unwrap(), &bytes)).unwrap();
    }
    encoder.finish().unwrap()
}

fn packed_file(path: &str, bytes: &[u8]) -> Vec<u8> {
    let runs = runs(bytes);
    let mut out = Vec::new();
    out.put_u16_le(path.len() as u16);
    out.put_slice(path.as_bytes());
    out.put_u64_le(bytes.len() as u64);
    out.put_u32_le(runs.len() as u32);
    for (from, to) in runs {
        out.put_u64_le(from as u64);
        out.put_u32_le((to - from) as u32);
        out.put_slice(&bytes[from..to]);
    }
    out
}

/// The stretches of blocks that are not all zeros.
fn runs(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        let from = number * BLOCK_BYTES;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        match runs.last_mut() {
            Some((begin, end)) if *end == from && from - *begin < RUN_BYTES_MAX => *end += block.len(),
            _ => runs.push((from, from + block.len())),
        }
    }
    runs
}

fn opened(packed: &[u8]) -> Vec<Packed> {
    let mut bytes = Vec::new();
    let mut decoder = zstd::stream::Decoder::new(packed).unwrap();
    decoder.window_log_max(WINDOW_LOG).unwrap();
    decoder.read_to_end(&mut bytes).unwrap();
    let mut rest = Bytes::from(bytes);
    let mut files = Vec::new();
    while rest.has_remaining() {
        let len = usize::from(rest.get_u16_le());
        let path = PathBuf::from(std::str::from_utf8(&rest.split_to(len)).unwrap());
        let (size, count) = (rest.get_u64_le(), rest.get_u32_le());
        let run = |rest: &mut Bytes| {
            let (position, len) = (rest.get_u64_le(), rest.get_u32_le() as usize);
            (position, rest.split_to(len))
        };
        let runs = (0..count).map(|_| run(&mut rest)).collect();
        files.push(Packed { path, size, runs });
    }
    files
}

/// Puts a packed directory on a host's disk, durably.
pub async fn unpack<H: Host>(host: &H, packed: &[u8], data: &Path) {
    let mut folders = BTreeSet::new();
    for file in opened(packed) {
        let path = data.join(&file.path);
        let folder = path.parent().unwrap();
        host.create_dir_all(folder).await.unwrap();
        folders.extend(folder.ancestors().map(Path::to_path_buf));
        let opened = host.open(&path, Access::WRITE).await.unwrap();
        if file.size > 0 {
            opened.allocate(0, file.size.next_multiple_of(BLOCK_BYTES as u64)).await.unwrap();
        }
        for (position, bytes) in &file.runs {
            let mut buf = host.buf(bytes.len().next_multiple_of(BLOCK_BYTES));
            buf.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            opened.write_at(buf, *position, Durability::Volatile).await.0.unwrap();
        }
        opened.truncate(file.size).await.unwrap();
        opened.sync_data().await.unwrap();
    }
    for folder in folders {
        host.sync_dir(&folder).await.unwrap();
    }
}
