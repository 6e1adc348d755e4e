//! What the machine asks of Intel's and AMD's extension: the thin common face of `vmx` and `svm`.

use core::fmt;

use host::{NoMemory, Slat, VcpuPlan};
use vcpu::Vcpu;

/// One vendor's virtualization extension.
pub trait Vendor: Send + Sync + Sized + 'static {
    /// A CPU with the extension on.
    type Cpu: 'static;
    /// The backend.
    type Vcpu: Vcpu<Cpu = Self::Cpu> + Send + 'static;
    /// EPT or NPT.
    type Slat: Slat + 'static;

    /// What operators call it.
    const NAME: &'static str;

    /// Looks at the running CPU; logs a warning line for each missing optional feature.
    ///
    /// # Errors
    /// [`Refusal`] when something required is missing or switched off.
    fn probe() -> Result<(), Refusal>;

    /// Switches the extension on, on the running CPU.
    ///
    /// # Errors
    /// [`Refusal`], also when there is no memory for the CPU's own structures.
    fn enable() -> Result<Self::Cpu, Refusal>;

    /// An empty second-level table.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn new_slat() -> Result<Self::Slat, NoMemory>;

    /// A vCPU in its reset state.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn new_vcpu(
        cpu: &mut Self::Cpu,
        plan: &VcpuPlan<'_, Self::Slat>,
    ) -> Result<Self::Vcpu, NoMemory>;
}

/// Which extension the CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendorKind {
    /// VT-x.
    Vmx,
    /// AMD-V.
    Svm,
}

/// Why no guest can run on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The CPU has neither extension.
    NoExtension,
    /// Firmware switched the extension off and locked it.
    SwitchedOff {
        /// VT-x or AMD-V.
        extension: &'static str,
        /// The register and bit that say so.
        evidence: &'static str,
        /// What to change in the firmware's setup.
        setting: &'static str,
    },
    /// A feature without which there is no guest.
    Missing {
        /// The feature, in the manual's words.
        feature: &'static str,
    },
    /// No memory for the CPU's own structures.
    NoMemory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoExtension => f.write_str(
                "this CPU has neither VT-x (CPUID 1 ECX bit 5) nor AMD-V (CPUID 0x80000001 ECX bit 2): no guest can run",
            ),
            Self::SwitchedOff { extension, evidence, setting } => {
                write!(f, "{extension} is switched off ({evidence}): enable \"{setting}\" in the firmware setup")
            }
            Self::Missing { feature } => write!(f, "this CPU has no {feature}: no guest can run"),
            Self::NoMemory => f.write_str("no memory for the virtualization structures of a CPU"),
        }
    }
}

/// Tells which extension this CPU has.
///
/// # Errors
/// [`Refusal::NoExtension`].
pub fn detect() -> Result<VendorKind, Refusal> {
    const VMX: u32 = 1 << 5;
    const SVM: u32 = 1 << 2;
    if cpu::cpuid(1).ecx & VMX != 0 {
        return Ok(VendorKind::Vmx);
    }
    if cpu::has_extended_leaf(0x8000_0001) && cpu::cpuid(0x8000_0001).ecx & SVM != 0 {
        return Ok(VendorKind::Svm);
    }
    Err(Refusal::NoExtension)
}
