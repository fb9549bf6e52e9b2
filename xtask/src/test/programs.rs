//! Sees to it that outside programs are there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ropewalk_interop::{Source, Tool, node_folder, python_folder};

/// What installs packages of Node's.
const NPM: Tool = Tool { name: "npm", package: "npm" };

/// Programs by their place, and those that cannot be had.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) found: Vec<(Tool, PathBuf)>,
    pub(crate) missing: Vec<Tool>,
}

impl Programs {
    /// Finds these programs; installs what is missing where that can be done without asking.
    pub(crate) fn ensure(tools: &[Tool]) -> Self {
        let missing = tools.iter().filter(|tool| tool.find().is_none());
        let (mut debian, mut python, mut node) = (Vec::new(), Vec::new(), Vec::new());
        for tool in missing {
            match tool.source() {
                Source::Debian(package) => debian.push(package),
                Source::Python(package) => python.push(package),
                Source::Node(package) => node.push(package),
            }
        }
        // Debian's Node comes without what installs packages.
        if !node.is_empty() && NPM.find().is_none() {
            debian.push(NPM.package);
        }
        for packages in [&mut debian, &mut python, &mut node] {
            packages.sort_unstable();
            packages.dedup();
        }
        if !debian.is_empty() && may_install() {
            install(&debian);
        }
        if !python.is_empty() {
            install_python(&python);
        }
        if !node.is_empty() {
            install_node(&node);
        }
        let mut programs = Self::default();
        for &tool in tools {
            match tool.find() {
                Some(path) => programs.found.push((tool, path)),
                None => programs.missing.push(tool),
            }
        }
        programs
    }

    /// Tells a command where the programs are.
    pub(crate) fn tell(&self, command: &mut Command) {
        for (tool, path) in &self.found {
            command.env(tool.variable(), path);
        }
    }

    /// Those of these programs that cannot be had.
    pub(crate) fn missing_of(&self, names: &[&str]) -> Vec<Tool> {
        self.missing.iter().filter(|tool| names.contains(&tool.name)).copied().collect()
    }
}

/// Whether this is Debian or its like and we are its master.
fn may_install() -> bool {
    let id = Command::new("id").arg("-u").stderr(Stdio::null()).output();
    let is_root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && Path::new("/usr/bin/apt-get").exists()
}

/// Installs these packages, one by one when they do not go together; what then is missing is told by
/// whoever looks for it.
fn install(packages: &[&str]) {
    if apt_get(&["install", "-y", "--no-install-recommends"], packages) {
        return;
    }
    apt_get(&["update"], &[]);
    for package in packages {
        apt_get(&["install", "-y", "--no-install-recommends"], &[package]);
    }
}

/// Installs Python packages into a virtual environment of their own, which needs no rights.
fn install_python(packages: &[&str]) {
    let folder = python_folder();
    let python = folder.join("bin/python3");
    if !python.exists() {
        println!("$ python3 -m venv {}", folder.display());
        let mut venv = Command::new("python3");
        // What then is missing is told by whoever looks for it.
        let _ = venv.args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()).status();
    }
    println!("$ pip install {}", packages.join(" "));
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    let _ = pip.stdin(Stdio::null()).status();
}

/// Installs packages of Node's into a folder of their own.
fn install_node(packages: &[&str]) {
    println!("$ npm install {}", packages.join(" "));
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(node_folder());
    // What then is missing is told by whoever looks for it.
    let _ = npm.args(packages).stdin(Stdio::null()).status();
}

fn apt_get(verb: &[&str], packages: &[&str]) -> bool {
    println!("$ apt-get {} {}", verb.join(" "), packages.join(" "));
    let mut command = Command::new("apt-get");
    command.args(verb).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Programs, Tool};

    #[test]
    fn what_was_found_is_told_and_what_is_missing_is_named() {
        let tool = |name| Tool { name, package: "none" };
        let programs = Programs {
            found: vec![(tool("curl"), "/usr/bin/curl".into())],
            missing: vec![tool("wrk"), tool("nginx")],
        };
        let mut command = Command::new("true");
        programs.tell(&mut command);
        let told: Vec<_> = command.get_envs().collect();
        assert_eq!(told, [("ROPEWALK_TOOL_CURL".as_ref(), Some("/usr/bin/curl".as_ref()))]);
        assert_eq!(programs.missing_of(&["curl", "wrk"]), [tool("wrk")]);
        assert_eq!(programs.missing_of(&["curl"]), []);
    }
}
