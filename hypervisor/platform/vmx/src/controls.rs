//! VM-execution, VM-exit and VM-entry controls: their bits, and how they are chosen from what the
//! CPU allows. (Intel SDM vol. 3C 25.6 to 25.8, vol. 3D appendix A.2 to A.5)

use crate::capabilities::{Capabilities, Unsupported};

/// The controls of one group that a CPU allows, by a capability MSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    must: u32,
    may: u32,
}

/// The CPU cannot have the controls as we need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unfit {
    /// Needed, but always off.
    missing: u32,
    /// Harmful, but always on.
    stuck: u32,
}

impl Allowed {
    /// Reads the MSR's value: bits 31:0 must be set, bits 63:32 may be.
    #[must_use]
    pub(crate) const fn from_msr(value: u64) -> Self {
        Self {
            must: value as u32,
            may: (value >> 32) as u32,
        }
    }

    /// Returns whether all of `bits` may be set.
    #[must_use]
    pub(crate) const fn offers(self, bits: u32) -> bool {
        self.may & bits == bits
    }

    /// A legal value with all that is required, as much of the optional as may be set, and nothing
    /// unwanted.
    ///
    /// # Errors
    /// [`Unfit`] names the bits that stand in the way.
    const fn fit(self, wanted: Wanted) -> Result<u32, Unfit> {
        let missing = wanted.required & !self.may;
        let stuck = self.must & wanted.unwanted;
        if missing | stuck != 0 {
            return Err(Unfit { missing, stuck });
        }
        Ok(self.must | wanted.required | (wanted.optional & self.may))
    }
}

/// The wishes of vCPUs for one group of controls.
#[derive(Clone, Copy)]
struct Wanted {
    required: u32,
    optional: u32,
    unwanted: u32,
}

const PIN: Wanted = Wanted {
    required: pin::EXTERNAL_INTERRUPT_EXITING | pin::NMI_EXITING | pin::VIRTUAL_NMIS,
    optional: 0,
    unwanted: pin::PREEMPTION_TIMER,
};

/// Without what answers accesses to CR8.
const PRIMARY: Wanted = Wanted {
    required: primary::USE_TSC_OFFSETTING
        | primary::HLT_EXITING
        | primary::MWAIT_EXITING
        | primary::MONITOR_EXITING
        | primary::RDPMC_EXITING
        | primary::USE_IO_BITMAPS
        | primary::USE_MSR_BITMAPS
        | primary::SECONDARY,
    optional: 0,
    unwanted: primary::INTERRUPT_WINDOW_EXITING
        | primary::NMI_WINDOW_EXITING
        | primary::INVLPG_EXITING
        | primary::RDTSC_EXITING
        | primary::CR3_LOAD_EXITING
        | primary::CR3_STORE_EXITING
        | primary::MOV_DR_EXITING
        | primary::MONITOR_TRAP_FLAG
        | primary::PAUSE_EXITING,
};

/// VPID is for each vCPU to add.
const SECONDARY: Wanted = Wanted {
    required: secondary::ENABLE_EPT,
    optional: secondary::UNRESTRICTED_GUEST
        | secondary::WBINVD_EXITING
        | secondary::PAUSE_LOOP_EXITING
        | secondary::ENABLE_RDTSCP
        | secondary::ENABLE_INVPCID
        | secondary::ENABLE_XSAVES
        | secondary::ENCLS_EXITING,
    unwanted: secondary::ENABLE_VPID,
};

const EXIT: Wanted = Wanted {
    required: exit::SAVE_DEBUG_CONTROLS
        | exit::HOST_ADDRESS_SPACE_SIZE
        | exit::LOAD_PAT
        | exit::SAVE_EFER
        | exit::LOAD_EFER,
    optional: exit::ACKNOWLEDGE_INTERRUPT,
    unwanted: 0,
};

const ENTRY: Wanted = Wanted {
    required: entry::LOAD_DEBUG_CONTROLS | entry::LOAD_PAT | entry::LOAD_EFER,
    optional: 0,
    unwanted: entry::IA32E_MODE_GUEST,
};

/// The controls every VMCS of this CPU starts with.
#[derive(Clone, Copy, Debug)]
pub struct Controls {
    /// Pin-based.
    pub pin: u32,
    /// Primary processor-based.
    pub primary: u32,
    /// Secondary processor-based; without VPID, which not every vCPU gets.
    pub secondary: u32,
    /// VM-exit.
    pub exit: u32,
    /// VM-entry, for a guest outside long mode.
    pub entry: u32,
}

impl Controls {
    /// Chooses from what the CPU allows.
    ///
    /// # Errors
    /// [`Unsupported`] names the first group that cannot be as we need it.
    pub(crate) fn choose(allowed: &Capabilities) -> Result<Self, Unsupported> {
        let task_priority = if allowed.primary.offers(primary::USE_TPR_SHADOW) {
            primary::USE_TPR_SHADOW
        } else {
            primary::CR8_LOAD_EXITING | primary::CR8_STORE_EXITING
        };
        let primary = Wanted {
            required: PRIMARY.required | task_priority,
            ..PRIMARY
        };
        let fit = |group: Allowed, wanted, unsupported: fn(u32) -> Unsupported| {
            group
                .fit(wanted)
                .map_err(|unfit| unsupported(unfit.missing | unfit.stuck))
        };
        Ok(Self {
            pin: fit(allowed.pin, PIN, Unsupported::Pin)?,
            primary: fit(allowed.primary, primary, Unsupported::Primary)?,
            secondary: fit(allowed.secondary, SECONDARY, Unsupported::Secondary)?,
            exit: fit(allowed.exit, EXIT, Unsupported::Exit)?,
            entry: fit(allowed.entry, ENTRY, Unsupported::Entry)?,
        })
    }
}

/// Pin-based VM-execution controls. (Table 25-5)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod pin {
    pub const EXTERNAL_INTERRUPT_EXITING: u32 = 1 << 0;
    pub const NMI_EXITING: u32 = 1 << 3;
    pub const VIRTUAL_NMIS: u32 = 1 << 5;
    pub const PREEMPTION_TIMER: u32 = 1 << 6;
}

/// Primary processor-based VM-execution controls. (Table 25-6)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod primary {
    pub const INTERRUPT_WINDOW_EXITING: u32 = 1 << 2;
    pub const USE_TSC_OFFSETTING: u32 = 1 << 3;
    pub const HLT_EXITING: u32 = 1 << 7;
    pub const INVLPG_EXITING: u32 = 1 << 9;
    pub const MWAIT_EXITING: u32 = 1 << 10;
    pub const RDPMC_EXITING: u32 = 1 << 11;
    pub const RDTSC_EXITING: u32 = 1 << 12;
    pub const CR3_LOAD_EXITING: u32 = 1 << 15;
    pub const CR3_STORE_EXITING: u32 = 1 << 16;
    pub const CR8_LOAD_EXITING: u32 = 1 << 19;
    pub const CR8_STORE_EXITING: u32 = 1 << 20;
    pub const USE_TPR_SHADOW: u32 = 1 << 21;
    pub const NMI_WINDOW_EXITING: u32 = 1 << 22;
    pub const MOV_DR_EXITING: u32 = 1 << 23;
    pub const USE_IO_BITMAPS: u32 = 1 << 25;
    pub const MONITOR_TRAP_FLAG: u32 = 1 << 27;
    pub const USE_MSR_BITMAPS: u32 = 1 << 28;
    pub const MONITOR_EXITING: u32 = 1 << 29;
    pub const PAUSE_EXITING: u32 = 1 << 30;
    pub const SECONDARY: u32 = 1 << 31;
}

/// Secondary processor-based VM-execution controls. (Table 25-7)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod secondary {
    pub const ENABLE_EPT: u32 = 1 << 1;
    pub const ENABLE_RDTSCP: u32 = 1 << 3;
    pub const ENABLE_VPID: u32 = 1 << 5;
    pub const WBINVD_EXITING: u32 = 1 << 6;
    pub const UNRESTRICTED_GUEST: u32 = 1 << 7;
    pub const PAUSE_LOOP_EXITING: u32 = 1 << 10;
    pub const ENABLE_INVPCID: u32 = 1 << 12;
    pub const ENCLS_EXITING: u32 = 1 << 15;
    pub const ENABLE_XSAVES: u32 = 1 << 20;
}

/// VM-exit controls. (Table 25-13)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod exit {
    pub const SAVE_DEBUG_CONTROLS: u32 = 1 << 2;
    pub const HOST_ADDRESS_SPACE_SIZE: u32 = 1 << 9;
    pub const ACKNOWLEDGE_INTERRUPT: u32 = 1 << 15;
    pub const LOAD_PAT: u32 = 1 << 19;
    pub const SAVE_EFER: u32 = 1 << 20;
    pub const LOAD_EFER: u32 = 1 << 21;
}

/// VM-entry controls. (Table 25-15)
#[allow(missing_docs, reason = "the names are the manual's")]
pub mod entry {
    pub const LOAD_DEBUG_CONTROLS: u32 = 1 << 2;
    pub const IA32E_MODE_GUEST: u32 = 1 << 9;
    pub const LOAD_PAT: u32 = 1 << 14;
    pub const LOAD_EFER: u32 = 1 << 15;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed = Allowed::from_msr(0x0000_000f_0000_0003);

    const fn fit(required: u32, optional: u32, unwanted: u32) -> Result<u32, Unfit> {
        ALLOWED.fit(Wanted {
            required,
            optional,
            unwanted,
        })
    }

    #[test]
    fn what_must_be_set_is_set_and_what_may_not_be_is_dropped() {
        assert_eq!(fit(4, 0x18, 0), Ok(0xf));
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let unfit = Unfit {
            missing: 0x10,
            stuck: 2,
        };
        assert_eq!(fit(0x14, 0, 2), Err(unfit));
    }

    /// A CPU that allows everything and insists on nothing.
    fn everything() -> Capabilities {
        let any = Allowed::from_msr(0xffff_ffff_0000_0000);
        Capabilities {
            pin: any,
            primary: any,
            secondary: any,
            exit: any,
            entry: any,
            ..Capabilities::NOTHING
        }
    }

    #[test]
    fn cr8_exits_only_without_a_tpr_shadow() {
        let exits = primary::CR8_LOAD_EXITING | primary::CR8_STORE_EXITING;
        let with = Controls::choose(&everything()).expect("all is allowed");
        assert_eq!(
            with.primary & (exits | primary::USE_TPR_SHADOW),
            primary::USE_TPR_SHADOW
        );
        let mut old = everything();
        old.primary = Allowed::from_msr(u64::from(!primary::USE_TPR_SHADOW) << 32);
        let without = Controls::choose(&old).expect("it has what is needed");
        assert_eq!(without.primary & (exits | primary::USE_TPR_SHADOW), exits);
    }

    #[test]
    fn the_group_that_does_not_fit_is_named() {
        let mut stuck = everything();
        stuck.entry = Allowed::from_msr(u64::MAX);
        let answer = Controls::choose(&stuck).map(|_| ());
        assert_eq!(answer, Err(Unsupported::Entry(entry::IA32E_MODE_GUEST)));
    }
}
