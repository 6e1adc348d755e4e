//! `cargo xtask setup`: everything the other commands need, at once.

use anyhow::Result;

use crate::need::{self, Need};
use crate::ui::say;

/// Makes sure of emulators, firmware, toolchain and the default guest's files; says what is in use.
///
/// # Errors
/// Something is missing and cannot, or may not, be installed.
pub fn setup() -> Result<()> {
    tools()?;
    say(format!(
        "bare-metal builds: {}",
        crate::toolchain::bare()?.describe()
    ));
    match crate::bed::accel::kvm_verdict() {
        Ok(vendor) => say(format!(
            "KVM: used, nested virtualization is there ({vendor:?})"
        )),
        Err(reason) => say(format!("KVM: not used, {reason}")),
    }
    crate::guest::fetch_and_say(crate::guest::DEFAULT)?;
    say("everything is here");
    Ok(())
}

/// Makes sure of emulators, firmware and compilers, in one installation.
///
/// # Errors
/// As [`setup`].
pub fn tools() -> Result<()> {
    let mut needs = [need::QEMU, need::BOCHS, &[Need::CCompiler]].concat();
    if crate::toolchain::wants_debian_rust() {
        needs.push(Need::DebianRust);
    }
    need::ensure(&needs)
}
