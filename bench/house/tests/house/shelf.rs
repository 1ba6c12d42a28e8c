//! What stands in the root folder, and what no text of the project says.

use crate::none;
use flumen_house::tree;

const SHELF: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "bench",
    "engine",
    "net",
    "replication",
    "systemd",
    "tuning",
];
/// What a build leaves, ignored by git.
const LEFT_BY_BUILDS: [&str; 1] = ["target"];

#[test]
fn the_root_folder_holds_the_storeys_the_manifests_and_dot_files_only() {
    let fits = |name: &String| {
        name.starts_with('.') || SHELF.contains(&name.as_str()) || LEFT_BY_BUILDS.contains(&name.as_str())
    };
    none("not on the shelf", tree::top_level(&tree::root()).into_iter().filter(|name| !fits(name)).collect());
}

#[test]
fn no_text_names_a_folder_of_somebodys_machine() {
    let homes = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let texts = [".rs", ".toml", ".md", ".service", ".conf", ".lock", ".yml", "run", "LICENSE"];
    let finding = |source: tree::Source| {
        let lines: Vec<_> =
            source.text.lines().enumerate().map(|(at, line)| (at + 1, line.to_string())).collect();
        let path = source.path;
        lines
            .into_iter()
            .filter(|(_, line)| homes.iter().any(|home| line.contains(home)))
            .map(move |(at, line)| format!("{path}:{at}: {}", line.trim()))
    };
    none("a path of one machine", tree::files(&tree::root(), &texts).into_iter().flat_map(finding).collect());
}
