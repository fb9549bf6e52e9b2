//! Compiles the side that is written in Objective-C++.

use std::process::Command;

/// What `GNUstep` says about how to build on it.
fn flags(what: &str) -> Vec<String> {
    let asked = Command::new("gnustep-config").arg(what).output();
    let told = asked.expect("GNUstep, as Debian's gnustep-make and libgnustep-base-dev have it");
    let text = String::from_utf8(told.stdout).expect("flags are text");
    text.split_whitespace().map(str::to_owned).collect()
}

fn main() {
    let mut bridge = cxx_build::bridge("src/lib.rs");
    bridge.file("src/attachment.mm").std("c++17").flag("-fPIC").warnings(false);
    // Not those that have the compiler write down what it has read.
    for flag in
        flags("--objc-flags").iter().filter(|flag| !flag.starts_with("-MM") && *flag != "-MP")
    {
        bridge.flag(flag);
    }
    bridge.compile("ropewalk_gnustep");
    for flag in flags("--base-libs") {
        if let Some(name) = flag.strip_prefix("-l") {
            println!("cargo::rustc-link-lib={name}");
        } else if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo::rustc-link-search={folder}");
        }
    }
    for source in ["lib.rs", "attachment.mm", "attachment.h"] {
        println!("cargo::rerun-if-changed=src/{source}");
    }
}
