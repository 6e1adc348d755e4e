//! Where things are in the checkout. Everything written lies below `target/`.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Root of the checkout.
///
/// `cargo run` says where this crate is; a binary started by hand falls back to where it was built.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.join("../Cargo.lock").is_file() || dir.join("../../Cargo.lock").is_file())
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let mut dir = manifest;
    while !dir.join("rust-toolchain.toml").is_file() {
        if !dir.pop() {
            return PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        }
    }
    dir
}

/// A path below `target/`; its parent folders are made.
///
/// # Errors
/// The file system refuses to make the folders.
pub fn target(relative: &str) -> Result<PathBuf> {
    let path = root().join("target").join(relative);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    Ok(path)
}

/// A folder below `target/`, made if it is not there.
///
/// # Errors
/// The file system refuses to make it.
pub fn target_dir(relative: &str) -> Result<PathBuf> {
    let path = root().join("target").join(relative);
    std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}

/// A path as people like to read it: relative to the checkout where it lies inside.
pub fn shown(path: &std::path::Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
