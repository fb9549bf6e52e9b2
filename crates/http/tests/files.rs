//! Static files, on real folders that each test makes for itself.

#![cfg(unix)]

#[path = "files/conditions.rs"]
mod conditions;
#[path = "files/folders.rs"]
mod folders;
#[path = "files/listings.rs"]
mod listings;
#[path = "files/paths.rs"]
mod paths;
#[path = "files/ranges.rs"]
mod ranges;
#[path = "files/site.rs"]
mod site;
