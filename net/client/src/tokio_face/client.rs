//! Where tokio producers, subscribers and admins come from.

use crate::core::producer::ProducerSettings;
use crate::core::subscriber::SubscriberSettings;
use crate::settings::Settings;
use crate::tokio_face::{Admin, Producer, Subscriber};
use flumen_model::Result;

/// A node's address and how to behave towards it. Holds no connection: each producer, subscriber and admin has its own.
///
/// ```no_run
/// use flumen_client::{Client, NewRecord, ProducerSettings, Settings, SubscriberSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> flumen_client::model::Result<()> {
/// let client = Client::new("127.0.0.1:9644", Settings::default());
/// client.admin()?.create_topic("orders", 4, &[]).await?;
///
/// let producer = client.producer(ProducerSettings::default())?;
/// let sent = producer.send(NewRecord::to("orders").key("customer-7").value("two apples")).await?;
/// println!("at {:?} of partition {}", sent.offset, sent.partition);
///
/// let mut subscriber = client.subscriber(SubscriberSettings::default())?;
/// subscriber.add_topic("orders");
/// println!("{:?}", subscriber.next().await?.value);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    addr: String,
    settings: Settings,
}

impl Client {
    /// A client of the node at `host:port`.
    pub fn new(addr: &str, settings: Settings) -> Client {
        Client { addr: addr.to_string(), settings }
    }

    /// A producer. It connects when it first sends.
    pub fn producer(&self, settings: ProducerSettings) -> Result<Producer> {
        Producer::new(&self.addr, self.settings.clone(), settings)
    }

    /// A subscriber. Add topics or partitions to it.
    pub fn subscriber(&self, settings: SubscriberSettings) -> Result<Subscriber> {
        Subscriber::new(&self.addr, self.settings.clone(), settings)
    }

    /// An admin. It connects when it is first asked.
    pub fn admin(&self) -> Result<Admin> {
        Admin::new(&self.addr, self.settings.clone())
    }
}
