//! What the open load promises, on a clock of its own: no test here depends on real time.

use super::*;
use crate::drive::clock::Fake;

/// Serves one request at a time, each for `service`, and stands still from `stall.0` for `stall.1`.
struct Server {
    clock: Fake,
    service: Duration,
    stall: (Duration, Duration),
    room: usize,
    open: Vec<u64>,
    sent: u64,
}

impl Server {
    fn new(clock: &Fake, service: Duration) -> Server {
        let stall = (Duration::MAX, Duration::ZERO);
        Server { clock: clock.clone(), service, stall, room: usize::MAX, open: Vec::new(), sent: 0 }
    }
}

impl Target for Server {
    fn send(&mut self, id: u64) -> Result<Sending> {
        if self.open.len() >= self.room {
            return Ok(Sending::Full);
        }
        assert_eq!(id, self.sent, "numbers rise by one");
        self.sent += 1;
        self.open.push(id);
        Ok(Sending::Taken)
    }
    fn poll(&mut self, wait: Duration, done: &mut Vec<u64>) -> Result<()> {
        if self.clock.read() >= self.stall.0 {
            self.clock.pass(self.stall.1);
            self.stall.0 = Duration::MAX;
        }
        match self.open.is_empty() {
            true => self.clock.pass(wait),
            false => {
                self.clock.pass(self.service);
                done.push(self.open.remove(0));
            }
        }
        Ok(())
    }
    fn records_per_request(&self) -> u64 {
        1
    }
    fn bytes_per_request(&self) -> u64 {
        256
    }
}

const LOAD: Open =
    Open { rate: 1_000.0, warm_up: Duration::ZERO, length: Duration::from_secs(1), slices: 10, stalls: 3 };

fn press(mut server: Server, load: Open) -> (OpenRun, Server) {
    let mut clock = server.clock.clone();
    let run = run(&mut server, load, &mut clock).unwrap();
    (run, server)
}

#[test]
fn every_due_request_is_sent_whatever_the_target_does() {
    for service_us in [10, 900, 3_000] {
        let (run, server) = press(Server::new(&Fake::default(), Duration::from_micros(service_us)), LOAD);
        assert_eq!((server.sent, run.sample.records), (1_000, 1_000), "service {service_us} µs");
        assert!(server.open.is_empty());
    }
}

#[test]
fn a_stall_is_charged_to_every_request_that_came_due_in_it() {
    let mut server = Server::new(&Fake::default(), Duration::from_micros(10));
    server.stall = (Duration::from_millis(300), Duration::from_millis(100));
    let (run, _) = press(server, LOAD);
    // A closed loop would count one slow request; 100 were due in these 100 ms, half of them for over 50 ms.
    let slow = run.sample.latencies.curve();
    let at_95 = slow.iter().find(|point| point.quantile >= 0.94).unwrap().us;
    assert!(at_95 > 40_000.0, "{at_95}");
    assert!(run.behind_max >= Duration::from_millis(95), "{:?}", run.behind_max);
    let stalls = run.stalls.explained_by(&[]);
    assert!(stalls[0].latency >= Duration::from_millis(95), "{stalls:?}");
}

#[test]
fn a_target_without_room_is_charged_for_the_wait() {
    let mut server = Server::new(&Fake::default(), Duration::from_millis(2));
    server.room = 1;
    let (run, _) = press(server, LOAD);
    assert_eq!(run.sample.records, 1_000);
    assert!(run.sample.latencies.max_us() > 900_000.0, "half the rate it was asked for");
    assert!(run.sample.elapsed > Duration::from_millis(1_900), "{:?}", run.sample.elapsed);
}

#[test]
fn the_warm_up_is_sent_but_not_counted() {
    let load = Open { warm_up: Duration::from_millis(500), ..LOAD };
    let (run, server) = press(Server::new(&Fake::default(), Duration::from_micros(10)), load);
    assert_eq!((server.sent, run.sample.records), (1_500, 1_000));
    assert_eq!(run.sample.timeline.iter().sum::<u64>(), 1_000);
}

#[test]
fn a_rate_of_nothing_is_refused() {
    let clock = Fake::default();
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut server = Server::new(&clock, Duration::ZERO);
        let refused = run(&mut server, Open { rate, ..LOAD }, &mut clock.clone()).unwrap_err();
        assert_eq!(refused.code, Code::InvalidSetting);
    }
}
