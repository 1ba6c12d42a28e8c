//! Watches one input at a time: its memory, its time, and what it was when the target panicked or hung. A finding is
//! saved before the panic goes on, so that it survives an abort.

// On the way to a panic or an abort there is no other way to be heard.
#![allow(clippy::print_stderr)]

use crate::corpus;
use crate::targets::Target;
use peak_alloc::PeakAlloc;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// No input may keep a target busy for longer, on the slowest machine.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Memory is counted for the whole process: one input at a time.
static TURN: Mutex<()> = Mutex::new(());
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

/// The input that a target is busy with.
struct Current {
    target: &'static str,
    input: Vec<u8>,
    since: Instant,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a target on an input.
///
/// # Panics
/// When the target does, takes too long or takes too much memory. The input is saved.
pub fn watch(target: &'static Target, input: &[u8]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        save_on_panic();
        std::thread::spawn(end_on_hang);
    });
    let _turn = locked(&TURN);
    *locked(&CURRENT) = Some(Current { target: target.name, input: input.to_vec(), since: Instant::now() });
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    (target.run)(input);
    let memory = MEMORY.peak_usage().saturating_sub(before);
    let memory_max = target.memory_max(input.len());
    assert!(memory <= memory_max, "{}: {} bytes took {memory} bytes of memory", target.name, input.len());
    *locked(&CURRENT) = None;
}

fn save_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(current) = locked(&CURRENT).take() {
            save(&current);
        }
        before(panic);
    }));
}

/// Nothing can stop a loop but the end of the process.
fn end_on_hang() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        if let Some(current) = locked(&CURRENT).take_if(|current| current.since.elapsed() > TIME_MAX) {
            eprintln!("{}: {} bytes took over {TIME_MAX:?}", current.target, current.input.len());
            save(&current);
            std::process::abort();
        }
    }
}

fn save(Current { target, input, .. }: &Current) {
    match corpus::save(target, &format!("found-{:08x}", crc32c::crc32c(input)), input) {
        Ok(path) => eprintln!("{target}: the input is saved as {}", path.display()),
        Err(error) => eprintln!("{target}: the input cannot be saved ({error}): {input:02x?}"),
    }
}
