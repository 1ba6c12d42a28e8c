//! Flags of `flumen topic` and `flumen subscription`: the operator's verbs that ask a running node.

use super::values::{Pair, Position, offset, partition};
use clap::{Args, Subcommand};
use flumen_model::{Offset, PartitionNumber};

/// `flumen topic …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum TopicCommand {
    /// Make a topic.
    #[command(after_help = "\
Examples:
  flumen topic create orders --partitions 8
  flumen topic create audit --partitions 1 --set retention.ms=-1")]
    Create(CreateTopic),
    /// List the topics.
    List,
    /// Show a topic's settings and its partitions' offsets and sizes.
    Describe {
        /// The topic.
        name: String,
    },
    /// Change a topic's settings.
    #[command(after_help = "\
Examples:
  flumen topic alter orders --set retention.ms=86400000
  flumen topic alter orders --unset retention.ms")]
    Alter(AlterTopic),
    /// Delete a partition's records before an offset, for good.
    #[command(after_help = "\
Examples:
  flumen topic trim orders --partition 0 --before 100000")]
    Trim(TrimTopic),
    /// Delete a topic and all its records, for good.
    Delete {
        /// The topic.
        name: String,
    },
}

/// `flumen topic create`
#[derive(Args, Clone, Debug)]
pub(crate) struct CreateTopic {
    /// The topic's name: 1 to 249 of a-z A-Z 0-9 . _ -
    pub(crate) name: String,
    /// How many partitions. Records of one key keep their order within one.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) partitions: u32,
    /// A setting of the topic. May be given again. `flumen topic describe` lists them.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Pair>,
}

/// `flumen topic alter`
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct AlterTopic {
    /// The topic.
    pub(crate) name: String,
    /// A setting and its new value. May be given again.
    #[arg(long, value_name = "KEY=VALUE", group = "change")]
    pub(crate) set: Vec<Pair>,
    /// A setting that goes back to its default. May be given again.
    #[arg(long, value_name = "KEY", group = "change")]
    pub(crate) unset: Vec<String>,
}

impl AlterTopic {
    /// The changes as the protocol has them: an empty value goes back to the default.
    pub(crate) fn changes(&self) -> Vec<(String, String)> {
        let set = self.set.iter().map(|pair| (pair.key.clone(), pair.value.clone()));
        set.chain(self.unset.iter().map(|key| (key.clone(), String::new()))).collect()
    }
}

/// `flumen topic trim`
#[derive(Args, Clone, Debug)]
pub(crate) struct TrimTopic {
    /// The topic.
    pub(crate) name: String,
    /// The partition.
    #[arg(long, value_name = "P", value_parser = partition)]
    pub(crate) partition: PartitionNumber,
    /// The first offset that stays.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    pub(crate) before: Offset,
}

/// `flumen subscription …`
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum SubscriptionCommand {
    /// List the named subscriptions.
    List,
    /// Show a subscription's positions, and how far behind they are.
    Describe {
        /// The subscription.
        name: String,
    },
    /// Move a subscription's positions. No reader of it may be running.
    #[command(after_help = "\
Examples:
  flumen subscription reset billing --to start
  flumen subscription reset billing --to @-2h --topic orders
  flumen subscription reset billing --to @2026-03-01T12:00:00Z")]
    Reset(ResetSubscription),
    /// Forget a subscription's positions, for good.
    Delete {
        /// The subscription.
        name: String,
    },
}

/// `flumen subscription reset`
#[derive(Args, Clone, Debug)]
pub(crate) struct ResetSubscription {
    /// The subscription.
    pub(crate) name: String,
    /// Where to: start, end, an offset, or @TIME (RFC 3339, milliseconds since 1970, or back from now as in -5m).
    #[arg(long, value_name = "POSITION")]
    pub(crate) to: Position,
    /// Only this topic's positions.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: Option<String>,
}
