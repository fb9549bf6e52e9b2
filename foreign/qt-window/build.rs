//! Compiles the side that is written in C++.

fn main() {
    let qt =
        pkg_config::probe_library("Qt6Widgets").expect("Qt 6, as Debian's qt6-base-dev has it");
    cxx_build::bridge("src/main.rs")
        .file("src/window.cc")
        .includes(qt.include_paths)
        .std("c++17")
        .flag("-fPIC")
        .compile("ropewalk_qt_window");
    for source in ["main.rs", "window.cc", "window.h"] {
        println!("cargo::rerun-if-changed=src/{source}");
    }
}
