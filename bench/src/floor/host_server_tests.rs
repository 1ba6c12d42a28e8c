//! What the host floor's server promises, on the machine in memory: nothing lost, in order, durable before the
//! answer, however the requests are cut and whenever the power goes.

use super::*;
use flumen_io::Machine;
use flumen_io::mem::{MemHost, MemMachine, MemWorld};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Main = Box<dyn FnOnce(MemHost) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Larger than all writes of a test together, so that the ring does not come round.
const FILE_BYTES: u64 = 8 << 20;
const FILE: &str = "/data/journal";

fn main_of<F: Future<Output = ()> + 'static>(main: impl FnOnce(MemHost) -> F + Send + 'static) -> Main {
    Box::new(|host| Box::pin(main(host)))
}

/// Request number `tag`, from 1: an empty slot of the file is zero.
fn request(tag: u64) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0xa5; REQUEST_BYTES];
    bytes[..8].copy_from_slice(&tag.to_le_bytes());
    bytes
}

/// A world with an empty file that survives a power loss.
fn world(seed: u64) -> MemWorld {
    let world = MemWorld::new();
    let main = main_of(|host: MemHost| async move {
        host.create_dir_all("/data".as_ref()).await.unwrap();
        host.sync_dir("/".as_ref()).await.unwrap();
        let file = host.open(FILE.as_ref(), Access::WRITE).await.unwrap();
        file.allocate(0, FILE_BYTES).await.unwrap();
        file.sync_data().await.unwrap();
        host.sync_dir("/data".as_ref()).await.unwrap();
    });
    MemMachine::new(world.clone(), seed).run(vec![main]).unwrap();
    world
}

/// The tags in the file, in its order.
fn tags(world: &MemWorld) -> Vec<u64> {
    let tag = |slot: &[u8]| u64::from_le_bytes(slot[..8].try_into().unwrap());
    world.read_file(FILE).unwrap().chunks(REQUEST_BYTES).map(tag).filter(|tag| *tag > 0).collect()
}

/// Sends `requests` cut into pieces and counts the answers.
async fn client(
    host: MemHost,
    words: mpsc::Receiver<Word>,
    requests: u64,
    cuts: Vec<usize>,
    answers: Arc<AtomicUsize>,
) {
    let address = loop {
        match words.try_recv() {
            Ok(Word::Listening(address)) => break address,
            Ok(Word::Ended(ended)) => panic!("the server ended: {ended:?}"),
            Err(_) => host.sleep(Duration::from_micros(50)).await,
        }
    };
    let stream = host.connect(address).await.unwrap();
    let mut rest = Bytes::from((1..=requests).flat_map(request).collect::<Vec<u8>>());
    let (mut answered, mut cuts) = (0, cuts.into_iter().cycle());
    while answered < requests as usize * ANSWER_BYTES {
        let piece = rest.split_to(cuts.next().unwrap().min(rest.len()));
        if !piece.is_empty() {
            stream.write(vec![piece]).await.0.unwrap();
        }
        // Of less than a whole request there comes no answer to wait for.
        let sent = requests as usize * REQUEST_BYTES - rest.len();
        if sent / REQUEST_BYTES * ANSWER_BYTES > answered {
            let (read, came) = stream.read(BytesMut::with_capacity(4096)).await;
            assert_ne!(read.unwrap(), Read::End, "an answer is owed");
            answered += came.len();
            answers.store(answered / ANSWER_BYTES, Ordering::Relaxed);
        }
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let (read, came) = stream.read(BytesMut::with_capacity(4096)).await;
    assert!(read.unwrap() == Read::End && came.is_empty(), "as many answers as requests");
}

/// Serves one client on `machine`; returns how many answers it got.
fn serve(machine: MemMachine, requests: u64, cuts: Vec<usize>) -> u64 {
    let (words, heard) = mpsc::channel();
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    let server = main_of(|host| HostServer { file: Some(FILE.into()), words }.main(host));
    let client = main_of(move |host| client(host, heard, requests, cuts, counted));
    machine.run(vec![server, client]).unwrap();
    answers.load(Ordering::Relaxed) as u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_cut_anywhere_are_written_once_and_in_order(
        seed: u64,
        requests in 1..200u64,
        cuts in proptest::collection::vec(1..2_000usize, 1..20),
    ) {
        let world = world(seed);
        prop_assert_eq!(serve(MemMachine::new(world.clone(), seed), requests, cuts), requests);
        prop_assert_eq!(tags(&world), (1..=requests).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_answered_survives_a_power_loss_at_any_moment(
        seed: u64,
        polls in 20..600u64,
        cuts in proptest::collection::vec(100..2_000usize, 1..20),
    ) {
        let world = world(seed);
        let machine = MemMachine::new(world.clone(), seed).stop_after_polls(polls);
        let answered = serve(machine, 200, cuts);
        world.crash(seed);
        let survived = tags(&world);
        prop_assert!((1..=answered).all(|tag| survived.contains(&tag)), "{answered} answered, {survived:?} left");
    }
}

#[test]
fn what_arrives_during_a_write_is_gathered_into_the_next() {
    let world = world(7);
    serve(MemMachine::new(world.clone(), 7), 1_000, vec![64 * 1024]);
    let file = world.read_file(FILE).unwrap();
    let used = file.chunks(BLOCK_BYTES).filter(|block| block[..8] != [0; 8]).count();
    // 16 requests fill a block; each alone would take one of its own.
    assert!(used < 200, "{used} blocks for 1,000 requests");
}
