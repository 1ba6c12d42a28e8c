//! All clients of a seed. What they are outlives their node; what they do in one of its lives is one task each.

use super::fetcher::Fetcher;
use super::operator::Operator;
use super::producer::Producer;
use super::subscriber::Subscriber;
use crate::oracle::HEALS_WITHIN;
use crate::plan::{Client, Plan};
use crate::sim::Shared;
use flumen_io::Host;
use flumen_io::mem::MemHost;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// How long clients have to end what is under way when a life ends in peace.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// How clients leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// When everything that they sent has its fate.
    Settled,
    /// In the middle of it.
    Abruptly,
}

/// The clients.
#[derive(Clone, Debug)]
pub struct Crew {
    producers: Vec<Producer>,
    subscribers: Vec<Subscriber>,
    operator: bool,
    fetcher: bool,
}

impl Crew {
    /// The clients of a plan.
    pub fn of(plan: &Plan) -> Crew {
        let mut crew =
            Crew { producers: Vec::new(), subscribers: Vec::new(), operator: false, fetcher: false };
        for client in &plan.clients {
            // A number is a client's, whoever else takes part.
            let place = crate::plan::CLIENTS.iter().position(|one| one == client);
            let number = place.expect("every client has its place in CLIENTS") as u32;
            match client {
                Client::Operator => crew.operator = true,
                Client::Fetcher => crew.fetcher = true,
                Client::Idempotent(_) | Client::Plain | Client::Free => {
                    crew.producers.push(Producer::new(*client, number, plan));
                }
                Client::Subscriber(_) | Client::Wanderer => {
                    crew.subscribers.push(Subscriber::new(*client, number, plan));
                }
            }
        }
        crew
    }

    /// Tells the oracle every fate that the clients had learnt when their node went.
    pub fn take_fates(&self, shared: &Shared, now: u64) {
        for producer in &self.producers {
            producer.take_fates(shared, now);
        }
    }

    /// Lets all work until the steps of the life are taken. Returns how many had something left under way.
    /// With `heals` no fault is left at the end, and readers must come to the end of everything.
    pub async fn work(&self, host: &MemHost, shared: &Shared, life: u64, leave: Leave, heals: bool) -> usize {
        let left = Rc::new(Cell::new(0));
        let heals = heals && !shared.lock().plan.has_damage();
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        for producer in &self.producers {
            let mut at_work = producer.start(host, shared, life);
            let left = left.clone();
            tasks.push(Box::pin(async move {
                at_work.run().await;
                if leave == Leave::Settled {
                    left.set(left.get() + at_work.finish(ENDS_WITHIN).await);
                }
                at_work.stop();
            }));
        }
        for subscriber in &self.subscribers {
            let mut at_work = subscriber.start(host, shared, life);
            tasks.push(Box::pin(async move {
                at_work.run().await;
                if leave == Leave::Settled {
                    at_work.finish(ENDS_WITHIN).await;
                }
                if heals {
                    at_work.catch_up(HEALS_WITHIN).await;
                }
                at_work.stop();
            }));
        }
        if self.operator {
            let mut operator = Operator::new(host, shared, life);
            tasks.push(Box::pin(async move { operator.run().await }));
        }
        if self.fetcher {
            let mut fetcher = Fetcher::new(host, shared, life);
            tasks.push(Box::pin(async move { fetcher.run().await }));
        }
        let tasks: Vec<_> = tasks.into_iter().map(|task| host.spawn(task)).collect();
        for task in tasks {
            task.await;
        }
        left.get()
    }
}
