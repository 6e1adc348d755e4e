//! Features of this CPU's VMX that the hypervisor can do without. (Intel SDM vol. 3D appendix A)

use slat::PageSize;

use crate::capabilities::{Capabilities, Unsupported};
use crate::controls::{Controls, primary, secondary};

/// The features of one CPU's VMX.
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
    /// XSAVES and XRSTORS run.
    pub has_xsaves: bool,
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
        let capabilities = Capabilities::read()?;
        let controls = Controls::choose(&capabilities)?;
        let Capabilities {
            basic,
            ept,
            cr0,
            cr4,
            ..
        } = capabilities;
        let chosen = |bits| controls.secondary & bits != 0;
        let may_have_vpid = capabilities.secondary.offers(secondary::ENABLE_VPID);
        Ok(Self {
            revision: basic.revision(),
            has_unrestricted_guest: chosen(secondary::UNRESTRICTED_GUEST),
            has_vpid: may_have_vpid && ept.has_invvpid(),
            has_tpr_shadow: controls.primary & primary::USE_TPR_SHADOW != 0,
            has_pause_loop_exiting: chosen(secondary::PAUSE_LOOP_EXITING),
            has_rdtscp: chosen(secondary::ENABLE_RDTSCP),
            has_xsaves: chosen(secondary::ENABLE_XSAVES),
            has_encls_exiting: chosen(secondary::ENCLS_EXITING),
            has_string_io_info: basic.has_string_io_info(),
            has_invept_single: ept.has_invept_single(),
            has_invept_all: ept.has_invept_all(),
            has_invvpid_single: ept.has_invvpid_single(),
            largest_page: ept.largest_page(),
            cr0_must: cr0.must,
            cr0_may: cr0.may,
            cr4_must: cr4.must,
            cr4_may: cr4.may,
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
