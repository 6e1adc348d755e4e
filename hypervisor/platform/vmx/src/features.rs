//! What this CPU's VMX offers, and the controls chosen from it. (Intel SDM vol. 3D appendix A)

use core::fmt;

use cpu::read_msr;
use slat::PageSize;

use crate::controls::{Allowed, entry, exit, pin, primary, secondary};

/// Numbers of the capability MSRs. (Appendix A)
pub(crate) mod msr {
    /// Revision, region size, whether the "true" capability MSRs exist.
    pub(crate) const IA32_VMX_BASIC: u32 = 0x480;
    /// CR0 bits that must be 1, and those that may be.
    pub(crate) const IA32_VMX_CR0_FIXED0: u32 = 0x486;
    /// CR0 bits that may be 1.
    pub(crate) const IA32_VMX_CR0_FIXED1: u32 = 0x487;
    /// CR4 bits that must be 1.
    pub(crate) const IA32_VMX_CR4_FIXED0: u32 = 0x488;
    /// CR4 bits that may be 1.
    pub(crate) const IA32_VMX_CR4_FIXED1: u32 = 0x489;
    /// Secondary processor-based controls.
    pub(crate) const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48b;
    /// What EPT and VPIDs can do.
    pub(crate) const IA32_VMX_EPT_VPID_CAP: u32 = 0x48c;
    /// Pin-based controls; the MSR without "true" is 12 lower, here and below.
    pub(crate) const IA32_VMX_TRUE_PINBASED_CTLS: u32 = 0x48d;
    /// Primary processor-based controls.
    pub(crate) const IA32_VMX_TRUE_PROCBASED_CTLS: u32 = 0x48e;
    /// VM-exit controls.
    pub(crate) const IA32_VMX_TRUE_EXIT_CTLS: u32 = 0x48f;
    /// VM-entry controls.
    pub(crate) const IA32_VMX_TRUE_ENTRY_CTLS: u32 = 0x490;
    /// From a "true" MSR to its predecessor.
    pub(crate) const TRUE_DISTANCE: u32 = 12;
}

/// Bits of IA32_VMX_EPT_VPID_CAP. (Appendix A.10)
mod ept_cap {
    pub(super) const FOUR_LEVELS: u64 = 1 << 6;
    pub(super) const WRITE_BACK: u64 = 1 << 14;
    pub(super) const LARGE_PAGES: u64 = 1 << 16;
    pub(super) const HUGE_PAGES: u64 = 1 << 17;
    pub(super) const INVEPT: u64 = 1 << 20;
    pub(super) const ACCESSED_DIRTY: u64 = 1 << 21;
    pub(super) const INVEPT_SINGLE: u64 = 1 << 25;
    pub(super) const INVEPT_ALL: u64 = 1 << 26;
    pub(super) const INVVPID: u64 = 1 << 32;
    pub(super) const INVVPID_SINGLE: u64 = 1 << 41;
    pub(super) const INVVPID_ALL: u64 = 1 << 42;
}

/// Something VMX must have for us, and this CPU's does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Extended page tables, with four levels and write-back tables.
    Ept,
    /// A pin-based control, by its bits.
    Pin(u32),
    /// A primary processor-based control, by its bits.
    Primary(u32),
    /// A secondary processor-based control, by its bits.
    Secondary(u32),
    /// A VM-exit control, by its bits.
    Exit(u32),
    /// A VM-entry control, by its bits.
    Entry(u32),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ept => f.write_str("extended page tables (EPT) are missing"),
            Self::Pin(bits) => write!(f, "pin-based VM-execution controls {bits:#x} do not fit"),
            Self::Primary(bits) => write!(f, "primary VM-execution controls {bits:#x} do not fit"),
            Self::Secondary(bits) => {
                write!(f, "secondary VM-execution controls {bits:#x} do not fit")
            }
            Self::Exit(bits) => write!(f, "VM-exit controls {bits:#x} do not fit"),
            Self::Entry(bits) => write!(f, "VM-entry controls {bits:#x} do not fit"),
        }
    }
}

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

/// What this CPU's VMX can do beyond what we cannot do without.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// VMCS revision identifier.
    pub revision: u32,
    /// The controls chosen.
    pub controls: Controls,
    /// Real mode and unpaged protected mode run natively.
    pub has_unrestricted_guest: bool,
    /// Translations of several vCPUs stay in the TLB side by side.
    pub has_vpid: bool,
    /// CR8 is read and written without exits.
    pub has_tpr_shadow: bool,
    /// PAUSE exits only when it is repeated.
    pub has_pause_loop_exiting: bool,
    /// RDTSCP runs.
    pub has_rdtscp: bool,
    /// INVPCID runs.
    pub has_invpcid: bool,
    /// XSAVES and XRSTORS run.
    pub has_xsaves: bool,
    /// A VM exit by interrupt tells its vector.
    pub has_interrupt_acknowledge: bool,
    /// EPT entries have accessed and dirty flags.
    pub has_ept_accessed_dirty: bool,
    /// ENCLS is intercepted.
    pub has_encls_exiting: bool,
    /// VM exits by INS and OUTS tell segment and address size.
    pub has_string_io_info: bool,
    /// INVEPT can drop the translations of one EPTP.
    pub has_invept_single: bool,
    /// INVEPT can drop those of all.
    pub has_invept_all: bool,
    /// INVVPID can drop the translations of one VPID; else those of all.
    pub has_invvpid_single: bool,
    /// The largest page EPT can map.
    pub largest_page: PageSize,
    /// CR0 bits that must be set outside guests that may leave protected mode.
    pub cr0_must: u64,
    /// CR0 bits that may be set.
    pub cr0_may: u64,
    /// CR4 bits that must be set.
    pub cr4_must: u64,
    /// CR4 bits that may be set.
    pub cr4_may: u64,
}

impl Features {
    /// Reads the capability MSRs of a CPU whose CPUID says VMX.
    ///
    /// # Errors
    /// [`Unsupported`] names the first thing we cannot do without.
    pub fn read() -> Result<Self, Unsupported> {
        let basic = read_msr(msr::IA32_VMX_BASIC);
        let has_true = basic >> 55 & 1 != 0;
        let allowed = |index| {
            let index = if has_true {
                index
            } else {
                index - msr::TRUE_DISTANCE
            };
            Allowed::from_msr(read_msr(index))
        };
        let primary_allowed = allowed(msr::IA32_VMX_TRUE_PROCBASED_CTLS);
        if !primary_allowed.offers(primary::SECONDARY) {
            return Err(Unsupported::Ept);
        }
        let secondary_allowed = Allowed::from_msr(read_msr(msr::IA32_VMX_PROCBASED_CTLS2));
        if !secondary_allowed.offers(secondary::ENABLE_EPT) {
            return Err(Unsupported::Ept);
        }
        // The MSR exists where EPT or VPID does.
        let ept = read_msr(msr::IA32_VMX_EPT_VPID_CAP);
        let has = |bits| ept & bits == bits;
        let has_invept =
            has(ept_cap::INVEPT) && (has(ept_cap::INVEPT_SINGLE) || has(ept_cap::INVEPT_ALL));
        if !has(ept_cap::FOUR_LEVELS | ept_cap::WRITE_BACK) || !has_invept {
            return Err(Unsupported::Ept);
        }
        let has_invvpid =
            has(ept_cap::INVVPID) && (has(ept_cap::INVVPID_SINGLE) || has(ept_cap::INVVPID_ALL));

        let has_tpr_shadow = primary_allowed.offers(primary::USE_TPR_SHADOW);
        let controls = Controls {
            pin: allowed(msr::IA32_VMX_TRUE_PINBASED_CTLS)
                .fit(
                    pin::EXTERNAL_INTERRUPT_EXITING | pin::NMI_EXITING | pin::VIRTUAL_NMIS,
                    0,
                    pin::PREEMPTION_TIMER,
                )
                .map_err(|unfit| Unsupported::Pin(unfit.missing | unfit.stuck))?,
            primary: primary_allowed
                .fit(
                    primary::USE_TSC_OFFSETTING
                        | primary::HLT_EXITING
                        | primary::MWAIT_EXITING
                        | primary::MONITOR_EXITING
                        | primary::RDPMC_EXITING
                        | primary::USE_IO_BITMAPS
                        | primary::USE_MSR_BITMAPS
                        | primary::SECONDARY
                        | if has_tpr_shadow {
                            primary::USE_TPR_SHADOW
                        } else {
                            primary::CR8_LOAD_EXITING | primary::CR8_STORE_EXITING
                        },
                    0,
                    primary::INTERRUPT_WINDOW_EXITING
                        | primary::NMI_WINDOW_EXITING
                        | primary::INVLPG_EXITING
                        | primary::RDTSC_EXITING
                        | primary::CR3_LOAD_EXITING
                        | primary::CR3_STORE_EXITING
                        | primary::MOV_DR_EXITING
                        | primary::MONITOR_TRAP_FLAG
                        | primary::PAUSE_EXITING,
                )
                .map_err(|unfit| Unsupported::Primary(unfit.missing | unfit.stuck))?,
            secondary: secondary_allowed
                .fit(
                    secondary::ENABLE_EPT,
                    secondary::UNRESTRICTED_GUEST
                        | secondary::WBINVD_EXITING
                        | secondary::PAUSE_LOOP_EXITING
                        | secondary::ENABLE_RDTSCP
                        | secondary::ENABLE_INVPCID
                        | secondary::ENABLE_XSAVES
                        | secondary::ENCLS_EXITING,
                    secondary::ENABLE_VPID,
                )
                .map_err(|unfit| Unsupported::Secondary(unfit.missing | unfit.stuck))?,
            exit: allowed(msr::IA32_VMX_TRUE_EXIT_CTLS)
                .fit(
                    exit::SAVE_DEBUG_CONTROLS
                        | exit::HOST_ADDRESS_SPACE_SIZE
                        | exit::LOAD_PAT
                        | exit::SAVE_EFER
                        | exit::LOAD_EFER,
                    exit::ACKNOWLEDGE_INTERRUPT,
                    0,
                )
                .map_err(|unfit| Unsupported::Exit(unfit.missing))?,
            entry: allowed(msr::IA32_VMX_TRUE_ENTRY_CTLS)
                .fit(
                    entry::LOAD_DEBUG_CONTROLS | entry::LOAD_PAT | entry::LOAD_EFER,
                    0,
                    entry::IA32E_MODE_GUEST,
                )
                .map_err(|unfit| Unsupported::Entry(unfit.missing | unfit.stuck))?,
        };
        let chosen = |bits| controls.secondary & bits != 0;
        Ok(Self {
            revision: basic as u32 & 0x7fff_ffff,
            has_unrestricted_guest: chosen(secondary::UNRESTRICTED_GUEST),
            has_vpid: secondary_allowed.offers(secondary::ENABLE_VPID) && has_invvpid,
            has_tpr_shadow,
            has_pause_loop_exiting: chosen(secondary::PAUSE_LOOP_EXITING),
            has_rdtscp: chosen(secondary::ENABLE_RDTSCP),
            has_invpcid: chosen(secondary::ENABLE_INVPCID),
            has_xsaves: chosen(secondary::ENABLE_XSAVES),
            has_interrupt_acknowledge: controls.exit & exit::ACKNOWLEDGE_INTERRUPT != 0,
            has_ept_accessed_dirty: has(ept_cap::ACCESSED_DIRTY),
            has_encls_exiting: chosen(secondary::ENCLS_EXITING),
            has_string_io_info: basic >> 54 & 1 != 0,
            has_invept_single: has(ept_cap::INVEPT_SINGLE),
            has_invept_all: has(ept_cap::INVEPT_ALL),
            has_invvpid_single: has(ept_cap::INVVPID_SINGLE),
            largest_page: if has(ept_cap::HUGE_PAGES) {
                PageSize::Huge
            } else if has(ept_cap::LARGE_PAGES) {
                PageSize::Large
            } else {
                PageSize::Small
            },
            cr0_must: read_msr(msr::IA32_VMX_CR0_FIXED0),
            cr0_may: read_msr(msr::IA32_VMX_CR0_FIXED1),
            cr4_must: read_msr(msr::IA32_VMX_CR4_FIXED0),
            cr4_may: read_msr(msr::IA32_VMX_CR4_FIXED1),
            controls,
        })
    }

    /// One sentence for every optional feature this CPU lacks: what it costs.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        [
            (
                self.has_unrestricted_guest,
                "no unrestricted guest: guests that start in real mode or leave paging cannot run",
            ),
            (
                self.has_vpid,
                "no VPID: the TLB is flushed at every VM entry and exit",
            ),
            (
                self.has_tpr_shadow,
                "no TPR shadow: every access to CR8 is a VM exit",
            ),
            (
                self.largest_page != PageSize::Small,
                "no large EPT pages: guest memory is mapped in 4 KiB pages",
            ),
            (
                self.has_pause_loop_exiting,
                "no PAUSE-loop exiting: each PAUSE exits while another vCPU waits for the CPU",
            ),
            (self.has_rdtscp, "no RDTSCP in guests"),
        ]
        .into_iter()
        .filter_map(|(is_there, warning)| (!is_there).then_some(warning))
    }
}
