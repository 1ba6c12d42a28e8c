//! Makes a new input from the ones that are known: flips, cuts, joins, and integers that parsers stumble over. It
//! knows no format.

use crate::chance::Chance;

/// No input grows beyond this.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A few changes of one input of the corpus. An empty corpus gives noise.
pub fn mutated(corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input =
        if corpus.is_empty() || chance.once_in(50) { noise(chance) } else { chance.of(corpus).clone() };
    // Many small changes are like none: most inputs get few.
    let changes = 1 << chance.below(5);
    for _ in 0..1 + chance.below(changes) {
        change(&mut input, corpus, chance);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn noise(chance: &mut Chance) -> Vec<u8> {
    let len = 1 << chance.below(9);
    (0..chance.below(len)).map(|_| chance.bits() as u8).collect()
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    match chance.below(10) {
        0..=1 => flip(input, chance),
        2..=5 => overwrite(input, chance),
        6 => input.truncate(chance.below(input.len() + 1)),
        7 => insert(input, chance),
        8 => remove(input, chance),
        _ => splice(input, corpus, chance),
    }
}

fn flip(input: &mut [u8], chance: &mut Chance) {
    let at = chance.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << chance.below(8);
    }
}

/// Writes an integer of 1, 2, 4 or 8 bytes over a field, of either byte order.
fn overwrite(input: &mut [u8], chance: &mut Chance) {
    let width = 1 << chance.below(4);
    if input.len() < width {
        return;
    }
    // The front holds the lengths and versions.
    let places = input.len() - width + 1;
    let places = if chance.once_in(2) { places.min(64) } else { places };
    let at = chance.below(places);
    let total = input.len() as u64;
    let field = &mut input[at..at + width];
    let big = chance.once_in(2);
    let old = field.iter().enumerate().fold(0, |old, (place, byte)| {
        let shift = if big { width - 1 - place } else { place };
        old | u64::from(*byte) << (8 * shift)
    });
    let new = stumbling_stone(old, total, chance);
    for (place, byte) in field.iter_mut().enumerate() {
        let shift = if big { width - 1 - place } else { place };
        *byte = (new >> (8 * shift)) as u8;
    }
}

fn stumbling_stone(old: u64, total: u64, chance: &mut Chance) -> u64 {
    match chance.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << chance.below(64),
        3 => (1 << chance.below(64)) - 1,
        4 => old.wrapping_add(1 + chance.below(16) as u64),
        5 => old.wrapping_sub(1 + chance.below(16) as u64),
        6 => total.wrapping_add(chance.below(9) as u64).wrapping_sub(4),
        _ => chance.bits(),
    }
}

fn insert(input: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let len = 1 + chance.below(16);
    let fill = chance.bits() as u8;
    let plain = chance.once_in(2);
    let bytes: Vec<u8> = (0..len).map(|_| if plain { fill } else { chance.bits() as u8 }).collect();
    input.splice(at..at, bytes);
}

fn remove(input: &mut Vec<u8>, chance: &mut Chance) {
    let from = chance.below(input.len() + 1);
    let len = chance.below(16.min(input.len() - from) + 1);
    input.drain(from..from + len);
}

/// The front of this and the back of another.
fn splice(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    if corpus.is_empty() {
        return;
    }
    let other = chance.of(corpus);
    let (front, back) = (chance.below(input.len() + 1), chance.below(other.len() + 1));
    input.truncate(front);
    input.extend_from_slice(&other[back..]);
}
