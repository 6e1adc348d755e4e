//! Gives the linker the image's layout, for the bare target only: a PC build of this crate is just checked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=caisson.ld");
    println!("cargo::rerun-if-changed=build.rs");
    let is_bare = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Ok(folder)) = (is_bare, env::var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-T{folder}/caisson.ld");
        println!("cargo::rustc-link-arg-bins=-znognustack");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    }
}
