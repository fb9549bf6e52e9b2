//! Runs libFuzzer on the target that `ROPEWALK_FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ropewalk_fuzz::Target;

fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("ROPEWALK_FUZZ_TARGET").expect("ROPEWALK_FUZZ_TARGET names one");
        Target::named(&name).unwrap_or_else(|| panic!("there is no target {name}"))
    });
    (target.check)(bytes);
});
