//! Interface of the machine to Intel's and AMD's extension: the thin common face of `vmx` and
//! `svm`.

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
    /// Why the extension cannot be used, and what to do about it.
    type Refusal: fmt::Display;

    /// Name that operators know it by.
    const NAME: &'static str;

    /// Switches the extension on, on the running CPU. It has its final tables, stack and GS base.
    ///
    /// # Errors
    /// When something required is missing or switched off, or memory is short.
    fn enable() -> Result<Self::Cpu, Self::Refusal>;

    /// Calls `each` with a line for every optional feature this CPU lacks.
    fn for_each_warning(cpu: &Self::Cpu, each: &mut dyn FnMut(&str));

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

/// This CPU has neither extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoExtension;

impl fmt::Display for NoExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this CPU has neither VT-x (CPUID 1 ECX bit 5) nor AMD-V (CPUID 0x80000001 ECX bit 2): no guest can run",
        )
    }
}

/// Tells which extension this CPU has, switched on or not.
///
/// # Errors
/// [`NoExtension`].
pub fn detect() -> Result<VendorKind, NoExtension> {
    const VMX: u32 = 1 << 5;
    if cpu::cpuid(1).ecx & VMX != 0 {
        Ok(VendorKind::Vmx)
    } else if svm::is_offered() {
        Ok(VendorKind::Svm)
    } else {
        Err(NoExtension)
    }
}
