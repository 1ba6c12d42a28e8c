//! Which Raft term the stored batches had, by index: one run per term, since terms only grow. Bounded: the oldest
//! runs go first. Never knows entries that are not batches; between two runs of different terms it says nothing.

/// Runs kept. A term is an election; whoever asks about an index so many elections back needs a snapshot.
const RUNS_MAX: usize = 1024;

/// Batches of one term, by Raft index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TermRun {
    pub(crate) first_index: u64,
    pub(crate) last_index: u64,
    pub(crate) term: u32,
}

/// All runs, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    runs: Vec<TermRun>,
}

impl Terms {
    /// The runs of a checkpoint.
    pub(crate) fn from_runs(runs: Vec<TermRun>) -> Terms {
        Terms { runs }
    }

    /// All runs, ascending.
    pub(crate) fn runs(&self) -> &[TermRun] {
        &self.runs
    }

    /// Notes the next batch's index and term.
    pub(crate) fn note(&mut self, index: u64, term: u32) {
        match self.runs.last_mut() {
            Some(last) if last.term == term => last.last_index = index,
            _ => {
                if self.runs.len() == RUNS_MAX {
                    self.runs.remove(0);
                }
                self.runs.push(TermRun { first_index: index, last_index: index, term });
            }
        }
    }

    /// Forgets what lies wholly below an index.
    pub(crate) fn forget_below(&mut self, index: u64) {
        let gone = self.runs.partition_point(|run| run.last_index < index);
        self.runs.drain(..gone);
    }

    /// The term of an index between two batches of one term, or of a batch.
    pub(crate) fn of(&self, index: u64) -> Option<u32> {
        let at = self.runs.partition_point(|run| run.last_index < index);
        self.runs.get(at).filter(|run| run.first_index <= index).map(|run| run.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_known_between_batches_of_one_term_and_nowhere_else() {
        let mut terms = Terms::default();
        for (index, term) in [(2, 1), (3, 1), (7, 1), (9, 4), (12, 4)] {
            terms.note(index, term);
        }
        let known: Vec<_> = (1..=13).map(|index| terms.of(index)).collect();
        let (one, four) = (Some(1), Some(4));
        assert_eq!(known, [None, one, one, one, one, one, one, None, four, four, four, four, None]);
        terms.forget_below(8);
        assert_eq!(terms.of(7), None);
        assert_eq!(terms.of(10), four);
    }

    #[test]
    fn runs_are_bounded_and_the_oldest_go_first() {
        let mut terms = Terms::default();
        for term in 1..=2 * RUNS_MAX as u32 {
            terms.note(u64::from(term), term);
        }
        assert_eq!(terms.runs().len(), RUNS_MAX);
        assert_eq!(terms.of(1), None);
        assert_eq!(terms.of(2 * RUNS_MAX as u64), Some(2 * RUNS_MAX as u32));
    }
}
