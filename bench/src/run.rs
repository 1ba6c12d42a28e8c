//! From the words of `flumen bench` to its exit code: runs the verb, prints and writes the report.

use crate::args::{BenchArgs, Common, Verb};
use crate::fault::failed;
use crate::floor::HostEntry;
use crate::plan::{Ground, execute};
use crate::report::progress::Progress;
use crate::report::{Document, html, table};
use crate::subject::Nodes;
use crate::verbs;
use flumen_model::error::{Code, Error, Result};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// A claimed limit was missed.
const MISSED: u8 = 1;
/// The run itself failed.
const FAILED: u8 = 2;

/// What the binary brings: it alone knows the hosts, and how to start a node and reach it.
#[derive(Clone)]
pub struct World {
    /// The hosts that a node can run on, the default first.
    pub hosts: Vec<HostEntry>,
    /// Where nodes come from; without them only the floors can be measured.
    pub nodes: Option<Arc<dyn Nodes>>,
}

impl World {
    fn nodes(&self) -> Result<&Arc<dyn Nodes>> {
        let text = "this program can measure floors but start no node: use the full flumen binary";
        self.nodes.as_ref().ok_or_else(|| Error::new(Code::Unsupported, text))
    }
}

/// Runs a verb. The code is 0 when every claim holds,
/// 1 when one is missed, 2 when the run failed; a sentence on standard error says why.
pub fn run(args: &BenchArgs, world: &World) -> ExitCode {
    match run_verb(args, world).and_then(|document| deliver(&document, &args.common).map(|()| document)) {
        Ok(document) if document.claims_hold() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(MISSED),
        Err(error) => {
            // A closed standard error leaves the code.
            let _ = writeln!(io::stderr(), "flumen bench: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Runs a verb and returns its document.
pub fn run_verb(args: &BenchArgs, world: &World) -> Result<Document> {
    let common = match args.verb {
        Verb::Soak { .. } => Common { rounds: 1, ..args.common.clone() },
        _ => args.common.clone(),
    };
    let waiting = Progress::waiting("writing files, starting what is to be measured", common.json_only);
    let ground = Ground::prepare(&common, &world.hosts)?;
    let plan = match args.verb {
        Verb::Floor => verbs::floor::plan(&ground),
        Verb::Hosts => verbs::hosts::plan(&ground, &world.hosts),
        Verb::Ack => verbs::ack::plan(&ground, &common, world.nodes()?)?,
        Verb::Load => verbs::load::plan(&ground, &common, world.nodes()?)?,
        Verb::Read => verbs::read::plan(&ground, &common, world.nodes()?)?,
        Verb::Restart => verbs::restart::plan(&ground, &common, world.nodes()?)?,
        Verb::Soak { minutes, rate } => verbs::soak::plan(&ground, &common, world.nodes()?, minutes, rate)?,
    };
    // Its ticking thread must not run beside what is measured.
    drop(waiting);
    execute(plan, &ground, &common)
}

/// Prints the report and writes the files that were asked for.
pub fn deliver(document: &Document, common: &Common) -> Result<()> {
    let text = if common.json_only { document.json() + "\n" } else { table::text(document) };
    io::stdout().write_all(text.as_bytes()).map_err(|e| failed("cannot print the report", e))?;
    if let Some(file) = &common.json {
        write(file, &(document.json() + "\n"))?;
    }
    if let Some(file) = &common.html {
        write(file, &html::page(document))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text)
        .map_err(|e| failed(format!("cannot write the report to {}", file.display()), e))
}
