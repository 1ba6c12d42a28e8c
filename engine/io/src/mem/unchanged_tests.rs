//! Runs without faults are what they were before there were faults: their traces and what a power loss leaves,
//! as numbers. A change here changes every seed that anybody wrote down.

use super::{DiskOp, MemHost, MemMachine, MemWorld};
use crate::local::join2;
use crate::{Access, Buf, Durability, File, Host, Listener, Machine, Read, Receiver, Sender, Stream};
use bytes::{Bytes, BytesMut};
use flumen_model::limits::BLOCK_BYTES;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A bit of everything on one core: files of both kinds of durability, names, errors, sockets, timers.
async fn life(host: MemHost) {
    let dir = PathBuf::from(format!("/data/core-{:02}", host.core().0));
    host.create_dir_all(&dir).await.unwrap();
    host.sync_dir(Path::new("/data")).await.unwrap();
    let file = host.open(&dir.join("log"), Access::DURABLE).await.unwrap();
    file.allocate(0, 4 * BLOCK).await.unwrap();
    let listener = host.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (client, server) = join2(host.connect(listener.local_addr()), listener.accept()).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let echo = host.spawn(async move {
        let mut buf = BytesMut::with_capacity(64);
        while let (Ok(Read::Bytes(_)), back) = server.read(buf).await {
            server.write(vec![back.freeze()]).await.0.unwrap();
            buf = BytesMut::with_capacity(64);
        }
    });
    for n in 0..30u64 {
        let mut buf = host.buf(2 * BLOCK_BYTES);
        buf.bytes_mut().fill(host.entropy() as u8);
        let how = if n % 3 == 0 { Durability::Durable } else { Durability::Volatile };
        let _ = file.write_at(buf, n / 2 * BLOCK, how).await.0;
        client.write(vec![Bytes::copy_from_slice(&[n as u8; 50])]).await.0.unwrap();
        client.read(BytesMut::with_capacity(64)).await.0.unwrap();
        if n % 5 == 0 {
            let _ = file.sync_data().await;
            host.sleep(Duration::from_micros(n * 100)).await;
        }
        if n % 7 == 0 {
            let name = dir.join(format!("part-{n}"));
            drop(host.open(&name, Access::WRITE).await.unwrap());
            host.rename(&name, &dir.join("part")).await.unwrap();
            let _ = host.sync_dir(&dir).await;
        }
    }
    file.read_at(0, 3 * BLOCK_BYTES).await.unwrap();
    drop(client);
    echo.await;
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// Everything on the disk, as one number.
pub(super) fn disk_print(world: &MemWorld) -> u64 {
    world.files().iter().fold(0xCBF2_9CE4_8422_2325, |hash, (path, size)| {
        let hash = fold(hash, path.as_os_str().as_encoded_bytes());
        let hash = fold(hash, &size.to_le_bytes());
        fold(hash, &world.read_file(path).unwrap())
    })
}

/// Two cores that live side by side and talk, are stopped, lose their power, and live again. Gives the trace of
/// each run and what was on the disk after the power loss.
pub(super) fn lives(world: &MemWorld, seed: u64) -> Vec<u64> {
    world.fail_next(DiskOp::Write, "log");
    world.fail_next(DiskOp::Sync, "log");
    let mut prints = Vec::new();
    for run in 0..3 {
        let mut machine = MemMachine::new(world.clone(), seed * 10 + run);
        if run < 2 {
            machine = machine.stop_after_polls(900 + seed * 13);
        }
        let (tx, rx) = machine.channel::<u64>(4);
        let halves = Arc::new(Mutex::new((Some(tx), Some(rx))));
        let main = || {
            let halves = Arc::clone(&halves);
            move |host: MemHost| async move {
                if host.core().0 == 0 {
                    let tx = halves.lock().unwrap().0.take().unwrap();
                    let tx = host.sender(tx).await;
                    let other = host.clone();
                    drop(host.spawn(async move {
                        for n in 0..200 {
                            tx.send(n).await.unwrap();
                            other.yield_now().await;
                        }
                    }));
                } else {
                    let rx = halves.lock().unwrap().1.take().unwrap();
                    let rx = host.receiver(rx).await;
                    drop(host.spawn(async move {
                        let mut next = 0;
                        while let Some(n) = rx.recv().await {
                            assert_eq!(n, next);
                            next += 1;
                        }
                    }));
                }
                life(host).await;
            }
        };
        machine.run(vec![main(), main()]).unwrap();
        prints.push(world.last_run().unwrap().trace);
        world.crash(seed + run);
        prints.push(disk_print(world));
    }
    prints
}

/// What [`lives`] gave for the seeds 0 to 4 when the simulated machine had no faults yet.
const BEFORE: [[u64; 6]; 5] = [
    [
        0xbbcc4725a63c5d4d,
        0xcbf29ce484222325,
        0xc35beeaf246ae7a9,
        0x216c8182bb1b0152,
        0xc4fff383afa4d4d9,
        0xbb1ffd72dbe6f023,
    ],
    [
        0x3b6c541eee917c00,
        0x00eed99e8f8c7352,
        0x43841a5ec615ce40,
        0x075f07d15ffea623,
        0x3b043e1bb65ed698,
        0x7de3cab14101a623,
    ],
    [
        0x90ffd367d8daab21,
        0x6db6f244c1a65952,
        0x556452e8b2600de2,
        0xd691e0b1a8cb0a23,
        0xec9f1ff13d9b4300,
        0x7107a685b5fa1223,
    ],
    [
        0x6cb2fc6a5f6edd6b,
        0xcbf29ce484222325,
        0xb425bd6467271775,
        0xcbf29ce484222325,
        0x2abea2b5ddfd6fc1,
        0xc4c0a140902f57d0,
    ],
    [
        0xb2928dffcff9a2d1,
        0xcbf29ce484222325,
        0xe569b965203092aa,
        0x364d76569571cdd0,
        0x56bd6ae2c6329844,
        0x6ad349b39a261223,
    ],
];

#[test]
fn runs_without_faults_are_what_they_were() {
    for (seed, before) in BEFORE.iter().enumerate() {
        assert_eq!(lives(&MemWorld::new(), seed as u64), before, "seed {seed}");
    }
}
