//! State that each physical CPU holds of the vCPUs that live on it.

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::MAX_CPUS;

/// VMX resources one physical CPU holds at the moment. Touched by that CPU only; atomics, because
/// it is a static.
pub(crate) struct Resident {
    /// Host-physical address of the current VMCS, or 0.
    pub(crate) vmcs: AtomicU64,
    /// VPIDs in use, a bit each; 0 belongs to the host.
    vpids: [AtomicU64; VPID_WORDS],
}

/// 256 VPIDs per CPU: more vCPUs than that on one CPU run without.
const VPID_WORDS: usize = 4;

static RESIDENT: [Resident; MAX_CPUS] = [const {
    Resident {
        vmcs: AtomicU64::new(0),
        vpids: [
            AtomicU64::new(1),
            AtomicU64::new(0),
            AtomicU64::new(0),
            AtomicU64::new(0),
        ],
    }
}; MAX_CPUS];

/// Returns what CPU `id` holds.
#[inline]
pub(crate) fn resident(id: u32) -> &'static Resident {
    &RESIDENT[id as usize]
}

impl Resident {
    /// Takes a VPID that no other vCPU of this CPU has; never 0.
    pub(crate) fn take_vpid(&self) -> Option<u16> {
        self.vpids.iter().enumerate().find_map(|(index, word)| {
            let bit = word.load(Ordering::Relaxed).trailing_ones();
            (bit < 64).then(|| {
                word.fetch_or(1 << bit, Ordering::Relaxed);
                index as u16 * 64 + bit as u16
            })
        })
    }

    /// Gives a VPID back.
    pub(crate) fn return_vpid(&self, vpid: u16) {
        if let Some(word) = self.vpids.get(usize::from(vpid / 64)) {
            word.fetch_and(!(1 << (vpid % 64)), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vpids_are_never_zero_and_come_back() {
        let resident = resident(200);
        assert_eq!(resident.take_vpid(), Some(1));
        assert_eq!(resident.take_vpid(), Some(2));
        resident.return_vpid(1);
        assert_eq!(resident.take_vpid(), Some(1));
        for vpid in 3..256 {
            assert_eq!(resident.take_vpid(), Some(vpid));
        }
        assert_eq!(resident.take_vpid(), None);
    }
}
