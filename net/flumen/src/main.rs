//! The one binary: configuration, verbs, assembly. Nothing depends on it.
#![forbid(unsafe_code)]

// What the verbs below do not use yet is used by those that come.
#[allow(dead_code)]
mod cli;
#[allow(dead_code)]
mod config;
#[allow(dead_code)]
mod exit;
mod logging;
mod start;

use cli::Command;
use cli::node::{ConfigArgs, ShowConfigArgs};
use config::Loaded;
use exit::Exit;
use std::io::{self, Write};
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
        Command::Start(args) => start_node(&args.config).into(),
        _ => absent().into(),
    }
}

/// `flumen config`
fn show_config(args: &ShowConfigArgs, json: bool) -> Exit {
    if args.sample {
        print(&config::sample());
        return Exit::Ok;
    }
    match Loaded::read(args.config.config.as_deref(), &args.config.overrides()) {
        Ok(loaded) if json => print(&config::effective_json(&loaded)),
        Ok(loaded) => print(&config::effective_text(&loaded)),
        Err(error) => {
            complain(&error.message);
            return Exit::Config;
        }
    }
    Exit::Ok
}

/// `flumen start`
fn start_node(args: &ConfigArgs) -> Exit {
    let loaded = match Loaded::read(args.config.as_deref(), &args.overrides()) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error.message);
            return Exit::Config;
        }
    };
    if let Err(error) = logging::start(&loaded.config.log_level, loaded.config.log_format) {
        complain(&error.message);
        return Exit::Config;
    }
    start::start(&loaded)
}

/// A verb that is not part of this build.
fn absent() -> Exit {
    complain("this verb is not available in this build");
    Exit::Unavailable
}

/// A reader that went away (`| head`) is no error.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {message}");
}
