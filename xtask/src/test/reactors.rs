//! The drivers that this machine has, and the packages whose tests run on each of them.

use crate::Outcome;
use crate::cargo::cargo;
use crate::walls::{Kind, Package, packages};

/// Says in the environment which driver it is: the tests' own kits read it, and so do programs.
pub(crate) const VARIABLE: &str = "ROPEWALK_REACTOR";
/// The loop.
const REACTOR: &str = "ropewalk-reactor";
/// The test kit, most of whose users do without what of it needs the loop.
const TRIAL: &str = "ropewalk-trial";
/// The program that knows the drivers.
const PROGRAM: &str = "ropewalk-cli";

/// The drivers to try, in the order in which the program lists them.
///
/// # Errors
///
/// If the program that knows them does not build or run.
pub(crate) fn available() -> Outcome<Vec<String>> {
    let mut program = cargo();
    program.args(["run", "--quiet", "--package", PROGRAM, "--", "reactors"]);
    let output = program.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let reactors = listed(&String::from_utf8_lossy(&output.stdout));
    if reactors.is_empty() { Err("the program knows no reactor".into()) } else { Ok(reactors) }
}

/// The names in a list whose entries begin at the margin, without those that are said not to be here.
fn listed(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(about) if about.starts_with("not here") => {
                names.pop();
            }
            Some(_) => (),
            None => names.extend(line.split(' ').next().map(str::to_owned)),
        }
    }
    names
}

/// The packages whose tests need a reactor.
///
/// # Errors
///
/// If cargo does not tell of the workspace.
pub(crate) fn users() -> Outcome<Vec<String>> {
    Ok(users_among(&packages()?))
}

fn users_among(packages: &[Package]) -> Vec<String> {
    let mut shipping = vec![REACTOR];
    let depends = |package: &Package, on: &[&str], kinds: &[Kind]| {
        package.dependencies.iter().any(|dependency| {
            on.contains(&dependency.name.as_str()) && kinds.contains(&dependency.kind)
        })
    };
    loop {
        let is_new = |package: &&Package| {
            let is_known = shipping.contains(&package.name.as_str()) || package.name == TRIAL;
            !is_known && depends(package, &shipping, &[Kind::Normal])
        };
        let new: Vec<_> = packages.iter().filter(is_new).map(|package| &*package.name).collect();
        if new.is_empty() {
            break;
        }
        shipping.extend(new);
    }
    let is_user = |package: &&Package| {
        package.name == REACTOR || depends(package, &shipping, &[Kind::Normal, Kind::Dev])
    };
    packages.iter().filter(is_user).map(|package| package.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{listed, users_among};
    use crate::walls::Package;

    #[test]
    fn what_is_not_here_is_not_tried() {
        let list = "epoll (default)\n    what it is\nio_uring\n    what it is\n    not here: the \
                    kernel lacks rings\npoll\n    what it is\n\nThe default is the best.\n";
        assert_eq!(listed(list), ["epoll", "poll"]);
    }

    #[test]
    fn who_needs_the_loop_by_way_of_others_needs_it() {
        let package = |name: &str, dependency: &str, kind: Option<&str>| {
            json!({
                "name": name,
                "manifest_path": format!("/house/{name}/Cargo.toml"),
                "targets": [],
                "dependencies": [{ "name": dependency, "kind": kind }],
            })
        };
        let metadata = json!({ "packages": [
            package("ropewalk-reactor", "ropewalk-trial", Some("dev")),
            package("ropewalk-trial", "ropewalk-reactor", None),
            package("ropewalk-http", "ropewalk-trial", Some("dev")),
            package("ropewalk", "ropewalk-reactor", None),
            package("ropewalk-cli", "ropewalk", None),
            package("ropewalk-interop", "ropewalk-reactor", Some("dev")),
            package("xtask", "ropewalk-interop", None),
        ] });
        let packages = Package::all(&metadata).expect("packages");
        let users = users_among(&packages).join(" ");
        let expected = "ropewalk-reactor ropewalk-trial ropewalk ropewalk-cli ropewalk-interop";
        assert_eq!(users, expected);
    }
}
