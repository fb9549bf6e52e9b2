//! Which files are in reach, by Landlock.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Needs;

/// The newest rules that are asked for; older kernels are asked for what they have.
const NEWEST: ABI = ABI::V6;
/// What any program on this system looks at: how many processors there are, what it uses itself.
const ALWAYS: [&str; 5] =
    ["/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/dev/urandom", "/dev/null"];
/// Where users are looked up, and what looks.
const USERS: [&str; 6] =
    ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/lib", "/lib64", "/usr/lib"];
/// Where names of hosts are looked up, and what looks; and who vouches for them.
const NAMES: [&str; 17] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// How it went.
pub(crate) enum Reach {
    /// What is not needed is out of reach.
    Closed {
        /// The version of the rules that the kernel knows.
        abi: i32,
    },
    /// The kernel knows no such rules.
    Open,
}

/// Has this thread, and all that it starts, reach no other files than those that are needed.
pub(super) fn close(needs: &Needs) -> Result<Reach, String> {
    let told = |error: &dyn std::fmt::Display| format!("--sandbox: {error}");
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .map_err(|error| told(&error))?
        .scope(Scope::Signal)
        .map_err(|error| told(&error))?;
    if !needs.connects {
        rules = rules.handle_access(AccessNet::ConnectTcp).map_err(|error| told(&error))?;
    }
    let mut rules = rules.create().map_err(|error| told(&error))?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let known =
        [(true, &ALWAYS[..]), (needs.changes_user, &USERS[..]), (needs.connects, &NAMES[..])];
    for (_, paths) in known.iter().filter(|(is_needed, _)| *is_needed) {
        for path in *paths {
            rules = reach(rules, Path::new(path), read)?;
        }
    }
    for path in &needs.reads {
        rules = reach(rules, path, read)?;
    }
    for path in &needs.writes {
        rules = reach(rules, path, write)?;
    }
    let status = rules.restrict_self().map_err(|error| told(&error))?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Ok(Reach::Open),
        (_, LandlockStatus::Available { effective_abi, kernel_abi }) => {
            Ok(Reach::Closed { abi: kernel_abi.unwrap_or(effective_abi as i32) })
        }
        _ => Ok(Reach::Open),
    }
}

/// Leaves a path in reach, with all that is below it. One that is not there has nothing to reach: who needs it says so.
fn reach(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let told = |error: &dyn std::fmt::Display| format!("--sandbox: {}: {error}", path.display());
    let found = match path.metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(rules),
        Err(error) => return Err(told(&error)),
    };
    let access = if found.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    let place = PathFd::new(path).map_err(|error| told(&error))?;
    rules.add_rule(PathBeneath::new(place, access)).map_err(|error| told(&error))
}
