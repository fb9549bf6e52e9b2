//! What must be true of the house: dependencies point down, unsafe code has one place, files and
//! functions stay short.

mod floors;
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
    let mut faults = floors::faults(&packages);
    faults.extend(tidy::faults(root(), &packages)?);
    for fault in &faults {
        println!("{fault}");
    }
    println!("walls: {} packages, {} faults", packages.len(), faults.len());
    Ok(faults.is_empty())
}

/// The packages of the workspace.
pub(crate) fn packages() -> Outcome<Vec<Package>> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Package::all(&serde_json::from_slice(&output.stdout)?)
}
