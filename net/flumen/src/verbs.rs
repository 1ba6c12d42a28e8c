//! The verbs: each turns what was asked into calls of the client or the node, and the answer into text or JSON. None
//! decides anything about records.

pub(crate) mod ask;
mod bench;
mod check;
mod consume;
mod format;
mod keeper;
pub(crate) mod lines;
mod produce;
pub(crate) mod status;
mod subscription;
mod topic;

pub(crate) use bench::run as bench;

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::print::{self, Form};
use flumen_model::Result;

/// Runs a verb that asks a running node or looks at a stopped one.
pub(crate) fn run(cli: &Cli) -> Exit {
    answer(cli).unwrap_or_else(|error| print::fail(&error))
}

fn answer(cli: &Cli) -> Result<Exit> {
    let (server, form) = (cli.server(), Form::of(cli.json));
    match &cli.command {
        Command::Topic(command) => topic::run(command, server, form)?,
        Command::Subscription(command) => subscription::run(command, server, form)?,
        Command::Status => status::run(server, form)?,
        Command::Produce(args) => return produce::run(args, server, form),
        Command::Consume(args) => return consume::run(args, server, form),
        Command::Check(args) => return check::check(args, form),
        Command::Repair(args) => return check::repair(args, form),
        other => unreachable!("{other:?} is not a verb of this room"),
    }
    Ok(Exit::Ok)
}
