//! Every fault of the simulated machine, seen through the seam as a node would see it: what it does, what it
//! leaves alone, and that it is counted. Never looks into the machine.

mod clock;
mod cores;
mod disk;
mod mix;
mod net;
mod space;

use super::{Chance, Faults, FileChance, MemFile, MemHost, MemMachine, MemWorld};
use crate::{Access, Buf, Durability, File, Host, Machine};
use flumen_model::limits::BLOCK_BYTES;
use std::future::Future;
use std::io;
use std::path::Path;

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Hits everything.
const ALWAYS: Chance = Chance { per_million: 1_000_000, most: None };

fn always() -> FileChance {
    ALWAYS.into()
}

/// Hits half of everything.
fn half() -> FileChance {
    Chance::per_million(500_000).into()
}

/// A world with these faults.
fn world(set: impl FnOnce(&mut Faults)) -> MemWorld {
    let world = MemWorld::new();
    let mut faults = Faults::default();
    set(&mut faults);
    world.set_faults(faults);
    world
}

fn run<F: Future<Output = ()> + 'static>(
    world: &MemWorld,
    seed: u64,
    main: impl FnOnce(MemHost) -> F + Send + 'static,
) {
    MemMachine::new(world.clone(), seed).run(vec![main]).unwrap();
}

async fn open(host: &MemHost, path: &str) -> MemFile {
    let file = host.open(Path::new(path), Access::DURABLE).await.unwrap();
    host.sync_dir(Path::new("/")).await.unwrap();
    file
}

async fn write(host: &MemHost, file: &MemFile, block: u64, byte: u8, how: Durability) -> io::Result<()> {
    let mut buf = host.buf(BLOCK_BYTES);
    buf.bytes_mut().fill(byte);
    file.write_at(buf, block * BLOCK, how).await.0
}

/// A file of so many blocks, each full of its number and one, without any fault.
fn filled(world: &MemWorld, path: &'static str, blocks: u64) {
    let before = world.0.fate.faults().clone();
    world.set_faults(Faults::default());
    run(world, 1, move |host| async move {
        let file = open(&host, path).await;
        for n in 0..blocks {
            write(&host, &file, n, n as u8 + 1, Durability::Durable).await.unwrap();
        }
    });
    world.set_faults(before);
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}
