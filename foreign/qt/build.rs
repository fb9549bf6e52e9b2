//! Compiles the side that is written in C++.

fn main() {
    let qt = pkg_config::probe_library("Qt6Core").expect("Qt 6, as Debian's qt6-base-dev has it");
    cxx_build::bridge("src/lib.rs")
        .file("src/attachment.cc")
        .includes(qt.include_paths)
        .std("c++17")
        .flag("-fPIC")
        .compile("ropewalk_qt");
    for source in ["lib.rs", "attachment.cc", "attachment.h"] {
        println!("cargo::rerun-if-changed=src/{source}");
    }
}
