//! Prints a topic's records as they come: `subscribe 127.0.0.1:9644 my-topic my-name`. With a name, it goes on where it
//! was the last time.
#![allow(clippy::print_stdout)]

use flumen_client::model::Result;
use flumen_client::{Client, Settings, SubscriberSettings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:9644".to_string());
    let topic = args.next().unwrap_or_else(|| "example".to_string());
    let name = args.next();
    let is_named = name.is_some();
    let settings = SubscriberSettings { name, ..SubscriberSettings::default() };
    let mut subscriber = Client::new(&addr, Settings::default()).subscriber(settings)?;
    subscriber.add_topic(&topic);
    loop {
        let record = subscriber.next().await?;
        let value = record.value.unwrap_or_default();
        println!("{}/{}: {}", record.partition, record.offset, String::from_utf8_lossy(&value));
        if is_named {
            subscriber.commit().await?;
        }
    }
}
