//! Crashes at any moment, over and over: what was acked is there, what is there was appended, in order, each
//! append whole or not at all.

use super::*;

/// An append that may be in the journal.
struct Append {
    /// The indexes of its frames.
    frames: Vec<u64>,
    /// The file it is in, once that is known.
    file_seq: Option<u64>,
}

/// What the test knows of a journal over its crashes.
#[derive(Default)]
struct History {
    appends: Vec<Append>,
    /// Appends of earlier lives: tickets count from here.
    base: usize,
    /// So many were acked.
    acked: usize,
    /// The highest index in a released file.
    released: u64,
    next_index: u64,
    /// The highest number of a file.
    file_seq: u64,
}

enum Event {
    Opened(Vec<(u64, Frame)>, Box<ScanReport>),
    Appended(Vec<u64>),
    Acked(Durable),
    Released(u64),
}

/// Frames, each with the number of the file it was in.
#[derive(Default)]
struct ByFile {
    seq: u64,
    frames: Vec<(u64, Frame)>,
}

impl ScanVisitor for ByFile {
    fn file(&mut self, span: FileSpan) {
        assert!(span.seq > self.seq, "files come in the order of their numbers");
        self.seq = span.seq;
    }

    fn group(&mut self, _: Lsn, frames: &[ScannedFrame]) {
        self.frames.extend(frames.iter().map(|frame| (self.seq, frame.frame.clone())));
    }

    fn lost(&mut self, _: &Damage) {}
}

/// One life of a node: scan, open, append for as long as it goes, release what is old.
async fn life(host: MemHost, spec: JournalSpec, events: mpsc::Sender<Event>, mut next_index: u64, seed: u64) {
    let tell = move |event| events.send(event).expect("the test listens");
    let mut seen = ByFile::default();
    let report = scan(&host, &spec, &mut seen).await.expect("the journal is there");
    tell(Event::Opened(seen.frames, Box::new(report.clone())));
    let journal = Rc::new(Journal::open(&host, spec.clone(), &report).await.expect("a fresh file is begun"));
    let (writing, ack) = (Rc::clone(&journal), tell.clone());
    drop(host.spawn(async move {
        writing.run_writer(move |durable| ack(Event::Acked(durable))).await.expect("nothing failed");
    }));
    let mut dice = Dice(seed);
    loop {
        let frames: Vec<_> = (0..1 + dice.below(2)).map(|more| frame(next_index + more)).collect();
        next_index += frames.len() as u64;
        let bytes = frames.iter().map(|frame| frame_bytes(frame.payload.len())).sum();
        while !journal.admits(bytes) {
            match journal.oldest().expect("live files").seq {
                oldest if oldest < journal.current_seq() => {
                    tell(Event::Released(oldest));
                    journal.release(oldest);
                }
                _ => host.sleep(Duration::from_micros(100)).await,
            }
        }
        tell(Event::Appended(frames.iter().map(|frame| frame.index).collect()));
        match dice.below(6) {
            0 => journal.append_lazy(frames),
            _ => journal.append(frames),
        };
        match dice.below(40) {
            0 => host.sleep(Duration::from_millis(4)).await,
            1..26 => host.sleep(Duration::from_micros(dice.below(900))).await,
            _ => {}
        }
    }
}

impl History {
    fn learn(&mut self, event: Event, what: &str) {
        match event {
            Event::Opened(found, report) => self.check(&found, &report, what),
            Event::Appended(frames) => {
                self.next_index = frames.last().expect("frames") + 1;
                self.appends.push(Append { frames, file_seq: None });
            }
            Event::Acked(durable) => {
                let up_to = self.base + durable.up_to.seq as usize;
                self.appends[self.acked..up_to]
                    .iter_mut()
                    .for_each(|append| append.file_seq = Some(durable.file_seq));
                self.acked = up_to;
                self.file_seq = self.file_seq.max(durable.file_seq);
            }
            Event::Released(seq) => {
                let released =
                    self.appends.iter().filter(|append| append.file_seq.is_some_and(|file| file <= seq));
                self.released = released
                    .flat_map(|append| append.frames.iter().copied())
                    .max()
                    .unwrap_or(0)
                    .max(self.released);
            }
        }
    }

    /// What a scan found against what was appended, acked and released.
    fn check(&mut self, found: &[(u64, Frame)], report: &ScanReport, what: &str) {
        assert_eq!(report.damage, [], "{what}: a crash damages nothing that was acked");
        let all: Vec<_> = self.appends.iter().flat_map(|append| append.frames.iter().copied()).collect();
        let acked = self.appends[..self.acked].iter().map(|append| append.frames.len()).sum();
        let start = match found.first() {
            Some((_, first)) => all.iter().position(|&index| index == first.index).expect("it was appended"),
            None => acked,
        };
        let end = start + found.len();
        assert!(
            all[..start].iter().all(|&index| index <= self.released),
            "{what}: what is missing was released"
        );
        assert!(end >= acked, "{what}: {acked} frames were acked, those up to {end} are there");
        assert!(end <= all.len(), "{what}: nothing is there twice");
        for ((_, found), &index) in found.iter().zip(&all[start..]) {
            assert_eq!(*found, frame(index), "{what}: in order, as it was appended, nothing old");
        }
        self.forget_unwritten(&found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), start, end, what);
    }

    /// What is not there after a crash never comes back.
    fn forget_unwritten(&mut self, files: &[u64], start: usize, end: usize, what: &str) {
        let mut at = 0;
        self.appends.retain_mut(|append| {
            let first = at;
            at += append.frames.len();
            assert!(at <= end || first >= end, "{what}: appends are atomic");
            if (start..end).contains(&first) {
                append.file_seq = Some(files[first - start]);
                assert_eq!(files[first - start], files[at - 1 - start], "{what}: an append lies in one file");
            }
            at <= end
        });
        (self.acked, self.base) = (self.appends.len(), self.appends.len());
    }
}

/// Lives of one journal, each ended by a power cut; returns the number of the newest file.
fn crashes(seed: u64, lives: u64) -> u64 {
    let (world, spec) = (MemWorld::new(), small());
    formatted(&world, &spec);
    let mut dice = Dice(seed);
    let mut history = History { next_index: 1, ..History::default() };
    for number in 0..lives {
        world.crash(dice.below(1 << 30));
        let (tx, events) = mpsc::channel();
        let (life_spec, next_index, life_seed) = (spec.clone(), history.next_index, dice.below(1 << 30));
        let time = Duration::from_micros(500 + dice.below(60_000) / (1 + dice.below(8)));
        let machine = MemMachine::new(world.clone(), dice.below(1 << 30)).stop_after(time);
        run::<(), _>(machine, move |host| life(host, life_spec, tx, next_index, life_seed));
        for event in events.try_iter() {
            history.learn(event, &format!("seed {seed}, life {number}"));
        }
    }
    history.file_seq
}

#[test]
fn whatever_the_moment_of_a_crash_the_acked_appends_are_there_and_nothing_old_comes_back() {
    let newest = (0..60).map(|seed| crashes(seed, 12)).max().expect("seeds");
    assert!(newest > 3 * small().files as u64, "the ring went round many times: {newest} files");
}
