//! What a CPU was doing, kept in plain atomics so that a panic can tell.

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// The last VM and the last exit of one CPU.
pub struct Notes {
    vm_name: AtomicPtr<u8>,
    vm_name_len: AtomicUsize,
    vcpu: AtomicU64,
    exit_code: AtomicU64,
    exit_info: AtomicU64,
    exit_rip: AtomicU64,
}

impl Notes {
    pub(crate) const fn new() -> Self {
        Self {
            vm_name: AtomicPtr::new(ptr::null_mut()),
            vm_name_len: AtomicUsize::new(0),
            vcpu: AtomicU64::new(0),
            exit_code: AtomicU64::new(u64::MAX),
            exit_info: AtomicU64::new(0),
            exit_rip: AtomicU64::new(0),
        }
    }

    /// Says which vCPU of which VM this CPU works for. Called when the CPU switches, not per exit.
    pub fn set_vm(&self, name: &'static str, vcpu: u32) {
        // Length first out, then pointer, then length in: a panic in between sees an empty name, never a wrong one.
        self.vm_name_len.store(0, Ordering::Relaxed);
        self.vm_name
            .store(name.as_ptr().cast_mut(), Ordering::Release);
        self.vm_name_len.store(name.len(), Ordering::Release);
        self.vcpu.store(u64::from(vcpu), Ordering::Relaxed);
    }

    /// Notes the raw exit: the vendor's code, its qualification (EXITINFO1), and the guest's RIP.
    #[inline]
    pub fn set_exit(&self, code: u64, info: u64, rip: u64) {
        self.exit_code.store(code, Ordering::Relaxed);
        self.exit_info.store(info, Ordering::Relaxed);
        self.exit_rip.store(rip, Ordering::Relaxed);
    }

    /// Name of the VM and number of the vCPU, if any was ever run here.
    pub fn vm(&self) -> Option<(&'static str, u64)> {
        let len = self.vm_name_len.load(Ordering::Acquire);
        let start = self.vm_name.load(Ordering::Acquire);
        if start.is_null() || len == 0 {
            return None;
        }
        // SAFETY: the two were stored together from a `&'static str`; the order of stores rules out a mixture
        // with a longer length, and only this CPU stores.
        let bytes = unsafe { core::slice::from_raw_parts(start, len) };
        core::str::from_utf8(bytes)
            .ok()
            .map(|name| (name, self.vcpu.load(Ordering::Relaxed)))
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vm() {
            Some((name, vcpu)) => write!(f, "vm {name} vcpu {vcpu}")?,
            None => return f.write_str("no vm"),
        }
        match self.exit_code.load(Ordering::Relaxed) {
            u64::MAX => f.write_str(", no exit yet"),
            code => write!(
                f,
                ", last exit {code:#x} info {:#x} at guest rip {:#x}",
                self.exit_info.load(Ordering::Relaxed),
                self.exit_rip.load(Ordering::Relaxed),
            ),
        }
    }
}

/// Says which vCPU the running CPU works for; see [`Notes::set_vm`].
pub fn note_vm(name: &'static str, vcpu: u32) {
    crate::this().notes().set_vm(name, vcpu);
}

/// Notes the running CPU's raw exit; see [`Notes::set_exit`].
#[inline]
pub fn note_exit(code: u64, info: u64, rip: u64) {
    crate::this().notes().set_exit(code, info, rip);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn notes_tell_vm_and_exit() {
        let notes = Notes::new();
        assert_eq!(notes.to_string(), "no vm");
        notes.set_vm("debian", 1);
        assert_eq!(notes.to_string(), "vm debian vcpu 1, no exit yet");
        notes.set_exit(0x72, 0, 0x1000);
        assert_eq!(
            notes.to_string(),
            "vm debian vcpu 1, last exit 0x72 info 0x0 at guest rip 0x1000"
        );
    }
}
