//! What a record costs in memory: nothing of its own on the way in and out, and never more than the bounds say,
//! however much goes through. The counting allocator is this file's alone.
#![allow(clippy::unwrap_used, clippy::disallowed_types)]

mod common;

use common::*;
use flumen_io::mem::MemWorld;
use flumen_model::{GroupId, Offset};
use flumen_wire::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The tests count on one allocator, so only one of them runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn batch_of(records: usize) -> bytes::Bytes {
    let value = "v".repeat(16);
    batch(&vec![value.as_str(); records])
}

/// Allocations of the whole simulated machine, client and host included, while batches are produced and pushed.
async fn allocations(
    asker: &Rc<Asker>,
    pushed: &Rc<Asker>,
    group: GroupId,
    records: usize,
    batches: u64,
) -> u64 {
    let batch = batch_of(records);
    // The frames are built before the count: the client's work is not the node's.
    let request = ProduceRequest { group, acks: Acks::Quorum, batch };
    for _ in 0..16 {
        asker.ask(&request).await.unwrap();
        pushed.take_pushes().await;
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..batches {
        asker.ask(&request).await.unwrap();
        pushed.take_pushes().await;
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn a_record_costs_no_allocation_on_produce_and_push_and_a_batch_a_small_number() {
    const BATCHES: u64 = 200;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let counted: Arc<Mutex<Vec<u64>>> = Arc::default();
    let out = counted.clone();
    run_node(
        &MemWorld::new(),
        1,
        1,
        config(1),
        |machine| machine,
        move |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let group = asker.create("orders", 1).await[0];
            let pushed = Asker::connect(&host, 0).await;
            let subscribe = SubscribeRequest { group, handle: 1, offset: Offset(0), credit_bytes: 1 << 20 };
            pushed.ask(&subscribe).await.unwrap();
            for records in [1, 64] {
                let credit = CreditRequest { handle: 1, credit_bytes: 1 << 20 };
                let mut frame = bytes::BytesMut::new();
                encode_request(0, &credit, &mut frame).unwrap();
                pushed.send(frame.freeze()).await;
                let count = allocations(&asker, &pushed, group, records, BATCHES).await;
                out.lock().unwrap().push(count);
            }
        },
    );
    let counted = counted.lock().unwrap().clone();
    let (one, many) = (counted[0] / BATCHES, counted[1] / BATCHES);
    println!(
        "allocations a batch, client and simulated host included: {one} of 1 record, {many} of 64 records"
    );
    // A batch of 64 records is a longer frame, which the simulated network brings in a few more pieces; an
    // allocation per record would cost 63 more.
    assert!(many <= one + 16, "63 more records in a batch cost {} more allocations", many - one);
    assert!(one <= 120, "{one} allocations a batch");
}

#[test]
fn ten_times_the_cache_goes_through_and_memory_stays_within_its_bound() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    run_node(
        &MemWorld::new(),
        2,
        1,
        config(1),
        |machine| machine,
        |host| async move {
            let asker = Asker::connect(&host, 0).await;
            let groups = asker.create("orders", 4).await;
            let cache = config(1).limits.cache_bytes as u64;
            let batch = batch_of(400);
            let mut sent = 0;
            let mut cached_max = 0;
            while sent < 10 * cache {
                for group in &groups {
                    let request = ProduceRequest { group: *group, acks: Acks::Quorum, batch: batch.clone() };
                    asker.ask(&request).await.unwrap();
                    sent += batch.len() as u64;
                }
                let status = asker.ask(&StatusRequest {}).await.unwrap().json;
                let cached =
                    status.split("\"cached_bytes\":").nth(1).unwrap().split([',', '}']).next().unwrap();
                cached_max = cached_max.max(cached.parse::<u64>().unwrap());
            }
            // The bound: the cache, a chunk for each partition that is not spread yet, and what one flush brings.
            let bound = cache + 4 * 64 * 1024 + 256 * 1024;
            assert!(cached_max <= bound, "{cached_max} bytes cached, {bound} allowed");
            for group in groups {
                assert_eq!(
                    asker.read_all(group, 0).await.unwrap().len() as u64,
                    sent / 4 / batch.len() as u64 * 400
                );
            }
        },
    );
}
