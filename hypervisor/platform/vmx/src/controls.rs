//! VM-execution, VM-exit and VM-entry controls: their bits, and how they are fitted to what the CPU allows.
//! (Intel SDM vol. 3C 25.6 to 25.8, vol. 3D appendix A.2 to A.5)

/// What a capability MSR says about one group of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    must: u32,
    may: u32,
}

/// The CPU cannot have the controls as we need them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Needed, but always off.
    pub missing: u32,
    /// Harmful, but always on.
    pub stuck: u32,
}

impl Allowed {
    /// Reads the MSR's value: bits 31:0 must be set, bits 63:32 may be.
    #[must_use]
    pub const fn from_msr(value: u64) -> Self {
        Self {
            must: value as u32,
            may: (value >> 32) as u32,
        }
    }

    /// Whether all of `bits` may be set.
    #[must_use]
    pub const fn offers(self, bits: u32) -> bool {
        self.may & bits == bits
    }

    /// A legal value with all of `required`, those of `optional` that may be set, and none of `unwanted`.
    ///
    /// # Errors
    /// [`Unfit`] names the bits that stand in the way.
    pub const fn fit(self, required: u32, optional: u32, unwanted: u32) -> Result<u32, Unfit> {
        let missing = required & !self.may;
        let stuck = self.must & unwanted;
        if missing | stuck != 0 {
            return Err(Unfit { missing, stuck });
        }
        Ok(self.must | required | (optional & self.may))
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

    #[test]
    fn what_must_be_set_is_set_and_what_may_not_be_is_dropped() {
        assert_eq!(ALLOWED.fit(4, 0x18, 0), Ok(0xf));
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let unfit = Unfit {
            missing: 0x10,
            stuck: 2,
        };
        assert_eq!(ALLOWED.fit(0x14, 0, 2), Err(unfit));
    }
}
