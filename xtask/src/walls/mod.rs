//! What must be true of the house: dependencies point down, unsafe code has one place, files and
//! functions stay short, lock files say what manifests do.

mod floors;
mod locks;
mod metadata;
mod reasons;
mod source;
mod tidy;

use crate::Outcome;
use crate::cargo::{cargo, root};
pub(crate) use crate::walls::metadata::{Kind, Package};

/// Checks all walls and prints what is broken; whether nothing is.
pub(crate) fn run() -> Outcome<bool> {
    let packages = packages()?;
    let mut faults = faults(&packages)?;
    // What a machine knows of the registry is no reason for others to fail.
    faults.extend(locks::faults_by_cargo(root())?);
    Ok(tell(&packages, &faults))
}

/// The same without what depends on more than the files of the project.
pub(crate) fn run_alone() -> Outcome<bool> {
    let packages = packages()?;
    let faults = faults(&packages)?;
    Ok(tell(&packages, &faults))
}

fn faults(packages: &[Package]) -> Outcome<Vec<String>> {
    let mut faults = floors::faults(packages);
    faults.extend(tidy::faults(root(), packages)?);
    faults.extend(locks::faults(root(), packages)?);
    Ok(faults)
}

fn tell(packages: &[Package], faults: &[String]) -> bool {
    for fault in faults {
        println!("{fault}");
    }
    println!("walls: {} packages, {} faults", packages.len(), faults.len());
    faults.is_empty()
}

/// The packages of the workspace.
pub(crate) fn packages() -> Outcome<Vec<Package>> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Package::all(&serde_json::from_slice(&output.stdout)?)
}
