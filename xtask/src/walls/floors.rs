//! The floors of the house, and the arrows between packages: none points up.

use std::collections::{BTreeMap, VecDeque};

use crate::walls::metadata::{Kind, Package};
use crate::walls::reasons::{OUTSIDE, Outside};

/// The floor of the rooms that are not listed: one protocol family each.
const ROOMS: u8 = 3;
/// Above all: what is never shipped and may use everything.
const CHORES: u8 = 6;
/// The loop, which no protocol knows.
const REACTOR: &str = "ropewalk-reactor";
/// The test kit, which the tests of every floor may use.
const TRIAL: &str = "ropewalk-trial";

/// The floor of a package; `None` for a name that is none of the house's.
fn floor(package: &str) -> Option<u8> {
    let room = match package {
        "ropewalk" => return Some(5),
        "xtask" => return Some(CHORES),
        _ => package.strip_prefix("ropewalk-")?,
    };
    Some(match room {
        "deferred" => 0,
        "protocol" => 1,
        "reactor" | "tls" | "files" | "framing" | "forward" | "trial" | "trial-macros" | "auth" => {
            2
        }
        "config" | "control" | "database" | "endpoint" | "foreign" | "metrics" | "service"
        | "shards" => 4,
        "cli" => 5,
        "fuzz" | "interop" => CHORES,
        _ => ROOMS,
    })
}

/// All that is wrong with the arrows, a sentence each.
pub(crate) fn faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let Some(floor) = floor(&package.name) else {
            faults.push(format!("{} has no floor: rooms are named ropewalk-<room>", package.name));
            continue;
        };
        faults.extend(misnamed(package));
        faults.extend(upward(package, floor));
        if floor == ROOMS {
            faults.extend(path_to_reactor(package, packages));
        }
        if floor < 2 {
            faults.extend(outside(package));
        }
    }
    faults.extend(OUTSIDE.iter().filter(|outside| !is_needed(outside, packages)).map(|outside| {
        let Outside { package, dependency, .. } = outside;
        format!("{package} no longer depends on {dependency}: it needs no reason in reasons.rs")
    }));
    faults
}

/// A package whose folder says another name.
fn misnamed(package: &Package) -> Option<String> {
    let folder = package.folder.file_name()?.to_str()?;
    let room = package.name.strip_prefix("ropewalk-").unwrap_or(&package.name);
    (folder != room).then(|| format!("{} lives in a folder named {folder}", package.name))
}

/// Arrows of this package that point up.
fn upward(package: &Package, from: u8) -> Vec<String> {
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        let to = floor(&dependency.name).filter(|&to| to > from);
        let is_test_kit = dependency.kind == Kind::Dev && dependency.name == TRIAL;
        if let Some(to) = to.filter(|_| !is_test_kit) {
            let (name, above) = (&package.name, &dependency.name);
            faults.push(format!("{name} (floor {from}) depends on {above} (floor {to})"));
        }
    }
    faults
}

/// The way on which a user of this package gets the reactor, asked for or not.
fn path_to_reactor(package: &Package, packages: &[Package]) -> Option<String> {
    let by_name: BTreeMap<_, _> = packages.iter().map(|each| (each.name.as_str(), each)).collect();
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([package.name.as_str()]);
    while let Some(name) = queue.pop_front() {
        let Some(reached) = by_name.get(name) else { continue };
        for next in reached.dependencies.iter().filter(|next| next.kind != Kind::Dev) {
            if next.name != package.name && !came_from.contains_key(next.name.as_str()) {
                came_from.insert(&next.name, name);
                queue.push_back(&next.name);
            }
        }
    }
    let mut way = vec![REACTOR];
    while let Some(before) = came_from.get(way[way.len() - 1]) {
        way.push(before);
    }
    way.reverse();
    (way.len() > 1).then(|| format!("a protocol room knows the reactor: {}", way.join(" → ")))
}

/// Dependencies from outside for which no reason is given.
fn outside(package: &Package) -> Vec<String> {
    let is_allowed = |name: &str| {
        OUTSIDE.iter().any(|each| each.package == package.name && each.dependency == name)
    };
    let dependencies = package.dependencies.iter().filter(|each| each.kind != Kind::Dev);
    let strange =
        dependencies.filter(|each| floor(&each.name).is_none() && !is_allowed(&each.name));
    let fault = |name| format!("{} takes {name} from outside without a reason", package.name);
    strange.map(|dependency| fault(&dependency.name)).collect()
}

/// Whether an exception is still made use of, or its package is not there at all.
fn is_needed(outside: &Outside, packages: &[Package]) -> bool {
    let package = packages.iter().find(|package| package.name == outside.package);
    package.is_none_or(|package| {
        package.dependencies.iter().any(|dependency| dependency.name == outside.dependency)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::faults;
    use crate::walls::metadata::Package;

    /// A package and its dependencies, as cargo tells of them: `dev:NAME` for tests only.
    fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependency = |name: &&str| match name.split_once(':') {
            Some((kind, name)) => json!({ "name": name, "kind": kind }),
            None => json!({ "name": name, "kind": null }),
        };
        let folder = name.strip_prefix("ropewalk-").unwrap_or(name);
        json!({
            "name": name,
            "manifest_path": format!("/house/crates/{folder}/Cargo.toml"),
            "targets": [],
            "dependencies": dependencies.iter().map(dependency).collect::<Vec<_>>(),
        })
    }

    #[track_caller]
    fn check(packages: &[Value], expected: &[&str]) {
        let packages = Package::all(&json!({ "packages": packages })).expect("it is well formed");
        assert_eq!(faults(&packages), expected);
    }

    #[test]
    fn arrows_may_point_down_or_along() {
        let house = [
            package("ropewalk-deferred", &["tracing", "dev:proptest"]),
            package("ropewalk-protocol", &["ropewalk-deferred", "bytes", "tracing"]),
            package("ropewalk-trial", &["ropewalk-protocol"]),
            package("ropewalk-reactor", &["ropewalk-protocol", "rustix"]),
            package("ropewalk-http", &["ropewalk-protocol", "dev:ropewalk-reactor"]),
            package("ropewalk-websocket", &["ropewalk-http", "dev:ropewalk-trial"]),
            package("ropewalk-endpoint", &["ropewalk-reactor"]),
            package("ropewalk", &["ropewalk-http", "ropewalk-endpoint"]),
            package("ropewalk-interop", &["ropewalk"]),
            package("xtask", &["ropewalk-interop"]),
        ];
        check(&house, &[]);
    }

    #[test]
    fn arrows_that_point_up_are_broken_walls() {
        let arrow = |name, to| [package(name, &[to])];
        check(
            &arrow("ropewalk-tls", "ropewalk-http"),
            &["ropewalk-tls (floor 2) depends on ropewalk-http (floor 3)"],
        );
        check(
            &arrow("ropewalk-ssh", "build:ropewalk-service"),
            &["ropewalk-ssh (floor 3) depends on ropewalk-service (floor 4)"],
        );
        check(&arrow("ropewalk", "xtask"), &["ropewalk (floor 5) depends on xtask (floor 6)"]);
    }

    #[test]
    fn tests_may_look_up_to_the_test_kit_alone() {
        let tests = |to| {
            let rest = ["tracing", "bytes", "ropewalk-deferred", to];
            [package("ropewalk-protocol", &rest)]
        };
        check(&tests("dev:ropewalk-trial"), &[]);
        check(
            &tests("dev:ropewalk-reactor"),
            &["ropewalk-protocol (floor 1) depends on ropewalk-reactor (floor 2)"],
        );
        check(
            &tests("ropewalk-trial"),
            &["ropewalk-protocol (floor 1) depends on ropewalk-trial (floor 2)"],
        );
    }

    #[test]
    fn protocol_rooms_do_not_know_the_reactor() {
        check(
            &[package("ropewalk-dns", &["ropewalk-reactor"])],
            &["a protocol room knows the reactor: ropewalk-dns → ropewalk-reactor"],
        );
        let roundabout = [
            package("ropewalk-dns", &["ropewalk-tls"]),
            package("ropewalk-tls", &["ropewalk-reactor"]),
        ];
        check(
            &roundabout,
            &["a protocol room knows the reactor: ropewalk-dns → ropewalk-tls → ropewalk-reactor"],
        );
        let in_tests = [
            package("ropewalk-dns", &["ropewalk-tls"]),
            package("ropewalk-tls", &["dev:ropewalk-reactor"]),
        ];
        check(&in_tests, &[]);
    }

    #[test]
    fn the_lowest_floors_take_nothing_from_outside_without_a_reason() {
        check(
            &[package("ropewalk-deferred", &["tracing", "tokio", "dev:proptest"])],
            &["ropewalk-deferred takes tokio from outside without a reason"],
        );
        check(
            &[package("ropewalk-deferred", &[])],
            &["ropewalk-deferred no longer depends on tracing: it needs no reason in reasons.rs"],
        );
    }

    #[test]
    fn strangers_have_no_floor() {
        check(
            &[package("helpers", &[])],
            &["helpers has no floor: rooms are named ropewalk-<room>"],
        );
    }

    #[test]
    fn folders_say_the_name_of_the_room() {
        let mut package = package("ropewalk-dns", &[]);
        package["manifest_path"] = "/house/crates/names/Cargo.toml".into();
        check(&[package], &["ropewalk-dns lives in a folder named names"]);
    }
}
