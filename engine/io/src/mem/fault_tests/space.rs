//! Space that comes and goes: writes that need more fail, rewriting goes on, and all is well when it is back.

use super::{BLOCK, errno, open, run, world, write};
use crate::mem::{Faults, Pace};
use crate::{Durability, File, Host};
use std::path::Path;
use std::time::Duration;

#[test]
fn space_shrinks_and_comes_back_by_chance() {
    let world = world(|faults| {
        faults.disk.squeeze = Pace::every(Duration::from_secs(1));
        faults.disk.squeeze_free_most = 3 * BLOCK;
    });
    run(&world, 4, |host| async move {
        let file = open(&host, "/f").await;
        let (mut full, mut fine) = (0, 0);
        for n in 0..200 {
            host.sleep(Duration::from_millis(100)).await;
            match errno(write(&host, &file, n, 1, Durability::Durable).await) {
                Some(code) => {
                    assert_eq!(code, libc::ENOSPC);
                    let space = host.space(Path::new("/")).await.unwrap();
                    assert!(space.free < 4 * BLOCK || space.free > 1 << 30, "{}", space.free);
                    full += 1;
                }
                None => fine += 1,
            }
        }
        assert!(full > 20 && fine > 20, "{full} full, {fine} fine");
        let fired = host.world().fired();
        assert!(fired["no_space"] == full && fired["squeeze"] > 10, "{fired:?}");
    });
}

#[test]
fn a_squeeze_lets_written_blocks_be_rewritten_and_ends_with_the_healing() {
    let world = world(|faults| faults.disk.squeeze = Pace::every(Duration::from_millis(1)).at_most(1));
    run(&world, 4, |host| async move {
        let file = open(&host, "/f").await;
        host.world().set_faults(Faults::default());
        write(&host, &file, 0, 1, Durability::Durable).await.unwrap();
        let mut faults = Faults::default();
        faults.disk.squeeze = Pace::every(Duration::from_millis(1)).at_most(1);
        host.world().set_faults(faults);
        host.space(Path::new("/")).await.unwrap();
        host.sleep(Duration::from_secs(1)).await;
        assert_eq!(host.space(Path::new("/")).await.unwrap().free, 0);
        assert_eq!(errno(file.allocate(BLOCK, BLOCK).await), Some(libc::ENOSPC));
        write(&host, &file, 0, 2, Durability::Durable).await.unwrap();
        host.world().set_faults(Faults::default());
        file.allocate(BLOCK, BLOCK).await.unwrap();
    });
}
