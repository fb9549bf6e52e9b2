//! What cargo tells of the workspace, reduced to what the walls ask.

use std::path::PathBuf;

use serde_json::Value;

use crate::Outcome;

/// When a dependency is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// By whoever uses the package.
    Normal,
    /// By its tests and examples.
    Dev,
    /// By its build script.
    Build,
}

/// An arrow to another package.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Only features add it.
    pub(crate) is_optional: bool,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    /// The first files of its library and its programs.
    pub(crate) roots: Vec<PathBuf>,
    /// As its manifest says, with all that features could add.
    pub(crate) dependencies: Vec<Dependency>,
}

impl Package {
    /// The packages that `cargo metadata --no-deps` tells of.
    pub(crate) fn all(metadata: &Value) -> Outcome<Vec<Self>> {
        let packages = metadata["packages"].as_array().ok_or("cargo tells of no packages")?;
        let parsed: Option<Vec<_>> = packages.iter().map(Self::parse).collect();
        parsed.ok_or_else(|| "cargo tells of packages in words that we do not know".into())
    }

    fn parse(package: &Value) -> Option<Self> {
        let manifest = PathBuf::from(package["manifest_path"].as_str()?);
        let is_shipped = |target: &&Value| {
            let mut kinds =
                target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
            kinds.any(|kind| kind.ends_with("lib") || matches!(kind, "bin" | "proc-macro"))
        };
        let targets = package["targets"].as_array()?.iter().filter(is_shipped);
        let dependencies = package["dependencies"].as_array()?.iter().map(Dependency::parse);
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            folder: manifest.parent()?.to_owned(),
            roots: targets.filter_map(|target| Some(target["src_path"].as_str()?.into())).collect(),
            dependencies: dependencies.collect::<Option<_>>()?,
        })
    }
}

impl Dependency {
    fn parse(dependency: &Value) -> Option<Self> {
        let kind = match dependency["kind"].as_str() {
            None => Kind::Normal,
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            Some(_) => return None,
        };
        let is_optional = dependency["optional"].as_bool().unwrap_or_default();
        Some(Self { name: dependency["name"].as_str()?.to_owned(), kind, is_optional })
    }
}
