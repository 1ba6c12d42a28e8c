//! Arrows between crates only run down.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use flumen_house::storeys::{Arrow, Kind, ROOMS, broken, drawing};
use flumen_house::tree;

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_string()])
        .exec();
    metadata.expect("cargo describes the workspace").packages
}

fn arrows(package: &Package) -> Vec<Arrow> {
    let kind = |kind| match kind {
        DependencyKind::Development => Kind::Dev,
        DependencyKind::Build => Kind::Build,
        _ => Kind::Normal,
    };
    let arrow = |to: &cargo_metadata::Dependency| Arrow {
        from: package.name.to_string(),
        to: to.name.clone(),
        kind: kind(to.kind),
    };
    package.dependencies.iter().map(arrow).collect()
}

fn names(packages: &[Package]) -> Vec<String> {
    packages.iter().map(|package| package.name.to_string()).collect()
}

fn arrow(from: &str, to: &str, kind: Kind) -> Arrow {
    Arrow { from: from.into(), to: to.into(), kind }
}

#[test]
fn arrows_between_crates_only_run_down() {
    let packages = packages();
    let arrows: Vec<_> = packages.iter().flat_map(arrows).collect();
    assert!(arrows.contains(&arrow("flumen-engine", "flumen-log", Kind::Normal)), "the arrows were found");
    let broken = broken(&names(&packages), &arrows);
    assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), drawing());
}

#[test]
fn replication_depends_on_no_crate_of_ours_and_none_depends_on_the_binary() {
    let packages = packages();
    let ours = names(&packages);
    for arrow in packages.iter().flat_map(arrows) {
        assert!(arrow.from != "flumen-replication" || !ours.contains(&arrow.to), "{arrow}");
        assert_ne!(arrow.to, "flumen", "{arrow}");
    }
}

#[test]
fn crates_of_ours_come_by_path_and_outside_packages_from_the_registry() {
    let packages = packages();
    let ours = names(&packages);
    for package in &packages {
        for dependency in &package.dependencies {
            assert_eq!(
                dependency.path.is_some(),
                ours.contains(&dependency.name),
                "{} takes {} from an unexpected place",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn a_planted_arrow_that_runs_up_is_found_and_named() {
    let ours: Vec<_> = ROOMS.iter().map(|room| room.name.to_string()).collect();
    let bad = [
        arrow("flumen-replication", "flumen-model", Kind::Normal),
        arrow("flumen-model", "flumen-io", Kind::Normal),
        arrow("flumen-log", "flumen-engine", Kind::Build),
        arrow("flumen-engine", "flumen-wire", Kind::Dev),
        arrow("flumen-net", "flumen-client", Kind::Normal),
        arrow("flumen-net", "flumen-node", Kind::Normal),
        arrow("flumen-sim", "flumen-bench", Kind::Normal),
        arrow("flumen-bench", "flumen", Kind::Dev),
        arrow("flumen-node", "flumen-client", Kind::Normal),
        arrow("flumen-engine", "glommio", Kind::Normal),
        arrow("flumen-net", "tokio", Kind::Dev),
    ];
    for arrow in bad {
        let broken = broken(&ours, std::slice::from_ref(&arrow));
        assert_eq!(broken.len(), 1, "{arrow}");
        assert!(broken[0].contains(&arrow.to_string()), "{broken:?} names {arrow}");
    }
}

#[test]
fn arrows_that_run_down_and_tests_that_look_around_are_fine() {
    let ours: Vec<_> = ROOMS.iter().map(|room| room.name.to_string()).collect();
    let good = [
        arrow("flumen", "flumen-bench", Kind::Normal),
        arrow("flumen-log", "flumen-replication", Kind::Normal),
        arrow("flumen-client", "flumen-wire", Kind::Normal),
        arrow("flumen-node", "flumen-client", Kind::Dev),
        arrow("flumen-io", "glommio", Kind::Normal),
        arrow("flumen-engine", "bytes", Kind::Normal),
    ];
    assert_eq!(broken(&ours, &good), [""; 0]);
}

#[test]
fn a_crate_without_a_storey_is_found() {
    let broken = broken(&["flumen-attic".to_string()], &[]);
    assert!(broken.len() == 1 && broken[0].contains("flumen-attic"), "{broken:?}");
}

#[test]
fn the_drawing_shows_every_room_once() {
    let drawing = drawing();
    for room in ROOMS {
        assert_eq!(drawing.matches(&format!("{} (", room.name)).count(), 1, "{}", room.name);
    }
    assert_eq!(drawing.matches("storey").count(), 5, "{drawing}");
}
