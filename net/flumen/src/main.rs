//! The one binary: configuration, verbs, assembly. Nothing depends on it.
#![forbid(unsafe_code)]

mod cli;
mod config;
mod exit;
mod logging;
mod machine;
mod print;
mod quickstart;
mod start;
mod verbs;

use cli::Command;
use cli::node::{ConfigArgs, ShowConfigArgs};
use config::Loaded;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(answer) => {
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match &cli.command {
        Command::Tune(args) => ExitCode::from(flumen_tuning::run(args, cli.json)),
        Command::Config(args) => show_config(args, cli.json).into(),
        Command::Bench(args) => verbs::bench(args, cli.node, cli.json),
        Command::Quickstart(args) => quickstart::run(args, print::Form::of(cli.json)).into(),
        Command::Start(args) => start_node(&args.config).into(),
        _ => verbs::run(&cli).into(),
    }
}

/// `flumen config`
fn show_config(args: &ShowConfigArgs, json: bool) -> Exit {
    if args.sample {
        print::out(&config::sample());
        return Exit::Ok;
    }
    match Loaded::read(args.config.config.as_deref(), &args.config.overrides()) {
        Ok(loaded) if json => print::out(&config::effective_json(&loaded)),
        Ok(loaded) => print::out(&config::effective_text(&loaded)),
        Err(error) => {
            print::complain(&error.message);
            return Exit::Config;
        }
    }
    Exit::Ok
}

/// `flumen start`
fn start_node(args: &ConfigArgs) -> Exit {
    let loaded = Loaded::read(args.config.as_deref(), &args.overrides()).and_then(|loaded| {
        logging::start(&loaded.config.log_level, loaded.config.log_format)?;
        Ok(loaded)
    });
    match loaded {
        Ok(loaded) => start::start(&loaded),
        Err(error) => {
            print::complain(&error.message);
            Exit::Config
        }
    }
}
