//! Counts what each request still waits for: an ack, and a delivery when one is asked for. Requests are numbered in
//! their order and mostly end in it, so a queue is enough; it must never search.

use std::collections::VecDeque;

/// Requests that have not ended.
pub(super) struct InOrder {
    /// What a new request waits for.
    steps: u8,
    /// The number of the first one in the queue.
    first: u64,
    left: VecDeque<u8>,
}

impl InOrder {
    /// Requests that each end after `steps`.
    pub(super) fn new(steps: u8) -> InOrder {
        InOrder { steps, first: 0, left: VecDeque::new() }
    }

    /// Request `id`, the next number, begins.
    pub(super) fn begin(&mut self, id: u64) {
        if self.left.is_empty() {
            self.first = id;
        }
        debug_assert_eq!(id, self.first + self.left.len() as u64, "numbers rise by one");
        self.left.push_back(self.steps);
    }

    /// One thing that `id` waited for is here; with the last one it goes to `done`.
    pub(super) fn step(&mut self, id: u64, done: &mut Vec<u64>) {
        let left = &mut self.left[(id - self.first) as usize];
        *left = left.checked_sub(1).expect("a request takes as many steps as it has");
        if *left == 0 {
            done.push(id);
        }
        while self.left.front() == Some(&0) {
            self.left.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_done_with_its_last_step_in_whatever_order() {
        let mut progress = InOrder::new(2);
        let mut done = Vec::new();
        (0..3).for_each(|id| progress.begin(id));
        [1, 0, 1, 2].into_iter().for_each(|id| progress.step(id, &mut done));
        assert_eq!(done, [1]);
        [2, 0].into_iter().for_each(|id| progress.step(id, &mut done));
        assert_eq!(done, [1, 2, 0]);
        assert!(progress.left.is_empty());
        progress.begin(3);
        [3, 3].into_iter().for_each(|id| progress.step(id, &mut done));
        assert_eq!(done, [1, 2, 0, 3]);
    }
}
