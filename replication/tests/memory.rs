//! What an idle replica costs, counted by the allocator. A node has ten thousand of them. It must stay the only
//! test of its program, since the allocator is the program's.

use bytes::Bytes;
use flumen_replication::{Conf, Config, Driver, EntryKind, Index, Point, ReplicaId, Term};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

static BYTES: AtomicIsize = AtomicIsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn write(driver: &mut Driver, payload: &Bytes, count: usize) {
    let mut out = Vec::new();
    for _ in 0..count {
        driver.propose(EntryKind::Batch, payload.clone()).expect("it leads");
    }
    let ready = driver.take_ready().expect("entries");
    driver.persisted(ready.number);
    drop(ready);
    driver.take_committed(&mut out);
    driver.applied(out.last().expect("committed").index);
}

#[test]
fn an_idle_sole_voter_costs_less_than_5_kib_and_a_write_allocates_nothing_per_entry() {
    let before = BYTES.load(Ordering::Relaxed);
    let conf = Conf::of_voters([ReplicaId(1)]);
    let start = Point { index: Index(1), term: Term(1), conf };
    let mut driver = Box::new(Driver::new(Config::new(ReplicaId(1), 7), Driver::birth(start)));
    driver.campaign(0);
    let payload = Bytes::from_static(&[7; 300]);
    write(&mut driver, &payload, 1);
    let young = BYTES.load(Ordering::Relaxed) - before;

    write(&mut driver, &payload, 2000);
    write(&mut driver, &payload, 1);
    drop(driver.take_ready());
    let old = BYTES.load(Ordering::Relaxed) - before;
    println!("an idle sole voter: {young} bytes after its first write, {old} after a burst of 2000 entries");
    println!("of them {} in the driver itself", size_of::<Driver>());
    assert!(young.max(old) < 5 * 1024, "{young} and {old}");

    let calls = |driver: &mut Driver, count| {
        let before = CALLS.load(Ordering::Relaxed);
        write(driver, &payload, count);
        CALLS.load(Ordering::Relaxed) - before
    };
    let (one, many) = (calls(&mut driver, 1), calls(&mut driver, 1000));
    println!("allocations: {one} for a Ready of one entry, {many} for a Ready of a thousand");
    assert!(many < one + 100, "buffers grow, but no entry has an allocation of its own");
}
