//! Election timeouts without chance: a pure function of (seed, replica, term, time). It must never remember.

/// Ranks that are told apart; later ones share the last quarter.
const RANKS: u64 = 4;

/// The election timeout in ticks, in `election..2 * election`. Each rank has a quarter of that span of its own,
/// so that two replicas that lose their leader together seldom stand against each other. Within the quarter it
/// is drawn anew for every term and, because a pre-vote keeps its term, for every span of `2 * election` ticks.
pub(crate) fn election_timeout(
    seed: u64,
    id: u64,
    term: u64,
    now_ticks: u64,
    election: usize,
    rank: u32,
) -> usize {
    let span = election as u64;
    let quarter = (span / RANKS).max(1);
    let base = (u64::from(rank).min(RANKS - 1) * quarter).min(span - 1);
    let width = quarter.min(span - base);
    let round = now_ticks / (2 * span);
    let drawn = mix(mix(mix(seed ^ mix(id)) ^ term) ^ round) % width;
    election + (base + drawn) as usize
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeout_lies_within_one_and_two_election_spans() {
        for election in [3, 10, 100] {
            for rank in 0..6 {
                for round in 0..50 {
                    let drawn = election_timeout(7, 3, 1 + round, round * 37, election, rank);
                    assert!((election..2 * election).contains(&drawn), "{election} {rank} {drawn}");
                }
            }
        }
    }

    #[test]
    fn ranks_do_not_overlap() {
        let all = |rank| (0..500).map(move |term| election_timeout(1, 9, term, 0, 100, rank));
        for rank in 0..3 {
            assert!(all(rank).max() < all(rank + 1).min());
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_timeout_and_a_new_term_or_round_another() {
        let of = |term, now| election_timeout(1, 2, term, now, 100, 0);
        assert_eq!(of(5, 1000), of(5, 1000));
        assert!((0..20).any(|term| of(term, 0) != of(term + 1, 0)));
        assert!((0..20).any(|round| of(5, round * 200) != of(5, (round + 1) * 200)));
    }
}
