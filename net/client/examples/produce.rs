//! Writes lines from standard input to a topic: `produce 127.0.0.1:9644 my-topic`. The topic is created when there is
//! none.
#![allow(clippy::print_stdout)]

use flumen_client::model::{Code, Result};
use flumen_client::{Client, NewRecord, ProducerSettings, Settings};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:9644".to_string());
    let topic = args.next().unwrap_or_else(|| "example".to_string());
    let client = Client::new(&addr, Settings::default());
    match client.admin()?.create_topic(&topic, 1, &[]).await {
        Err(error) if error.code != Code::TopicExists => return Err(error),
        _ => {}
    }

    let settings = ProducerSettings { linger: Duration::from_millis(5), ..ProducerSettings::default() };
    let producer = client.producer(settings)?;
    let mut deliveries = Vec::new();
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        // Waits while too much is under way.
        producer.ready().await?;
        deliveries.push(producer.send(NewRecord::to(&topic[..]).value(line)));
    }
    producer.flush().await?;
    for delivery in deliveries {
        let sent = delivery.await?;
        println!("partition {} offset {}", sent.partition, sent.offset.map_or(0, |offset| offset.0));
    }
    Ok(())
}
