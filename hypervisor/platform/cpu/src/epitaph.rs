//! Notes of what a CPU was doing, kept in plain atomics so that a panic can print them.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// Words of a noted name.
const NAME_WORDS: usize = 4;

/// The last VM and the last exit of one CPU.
pub struct Notes {
    /// The name's bytes, little-endian, zeroes behind the end. A copy: the VM may be gone when it is read.
    vm_name: [AtomicU64; NAME_WORDS],
    vcpu: AtomicU64,
    exit_code: AtomicU64,
    exit_info: AtomicU64,
    exit_rip: AtomicU64,
}

impl Notes {
    pub(crate) const fn new() -> Self {
        Self {
            vm_name: [const { AtomicU64::new(0) }; NAME_WORDS],
            vcpu: AtomicU64::new(0),
            exit_code: AtomicU64::new(u64::MAX),
            exit_info: AtomicU64::new(0),
            exit_rip: AtomicU64::new(0),
        }
    }

    /// Notes which vCPU of which VM this CPU works for. Called when the CPU switches, not per exit.
    #[inline]
    pub fn set_vm(&self, name: &[u64; NAME_WORDS], vcpu: u32) {
        for (noted, word) in self.vm_name.iter().zip(name) {
            noted.store(*word, Ordering::Relaxed);
        }
        self.vcpu.store(u64::from(vcpu), Ordering::Relaxed);
    }

    /// Notes the raw exit: the vendor's code, its qualification (EXITINFO1), and the guest's RIP.
    #[inline]
    pub fn set_exit(&self, code: u64, info: u64, rip: u64) {
        self.exit_code.store(code, Ordering::Relaxed);
        self.exit_info.store(info, Ordering::Relaxed);
        self.exit_rip.store(rip, Ordering::Relaxed);
    }

    /// Writes the name of the VM; returns false where no vCPU was ever run.
    fn write_name(&self, f: &mut fmt::Formatter<'_>) -> Result<bool, fmt::Error> {
        let words = self.vm_name.each_ref();
        let bytes = words.map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let name = bytes.as_flattened();
        if name[0] == 0 {
            return Ok(false);
        }
        f.write_str("vm ")?;
        for byte in name.iter().take_while(|byte| **byte != 0) {
            write!(f, "{}", byte.escape_ascii())?;
        }
        Ok(true)
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.write_name(f)? {
            return f.write_str("no vm");
        }
        write!(f, " vcpu {}", self.vcpu.load(Ordering::Relaxed))?;
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

/// Notes which vCPU the running CPU works for; see [`Notes::set_vm`].
#[inline]
pub fn note_vm(name: &[u64; NAME_WORDS], vcpu: u32) {
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
        notes.set_vm(
            &[u64::from_le_bytes(*b"debian-1"), u64::from(b'2'), 0, 0],
            1,
        );
        assert_eq!(notes.to_string(), "vm debian-12 vcpu 1, no exit yet");
        notes.set_exit(0x72, 0, 0x1000);
        assert_eq!(
            notes.to_string(),
            "vm debian-12 vcpu 1, last exit 0x72 info 0x0 at guest rip 0x1000"
        );
    }
}
