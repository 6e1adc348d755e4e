//! Gives the bare-metal binaries their linker script.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=guest.ld");
    // On a PC the binaries are built only to be looked at by clippy.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-T{folder}/guest.ld");
    }
}
