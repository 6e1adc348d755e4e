//! AMD-V as a [`Vendor`].

use host::{NoMemory, VcpuPlan};
use svm::{EnableError, NestedTables, SvmCpu, SvmVcpu};

use crate::vendor::Vendor;

/// AMD-V.
pub struct Svm;

impl Vendor for Svm {
    type Cpu = SvmCpu;
    type Vcpu = SvmVcpu;
    type Slat = NestedTables;
    type Refusal = EnableError;

    const NAME: &'static str = "AMD-V";

    fn enable() -> Result<SvmCpu, EnableError> {
        SvmCpu::enable()
    }

    fn for_each_warning(cpu: &SvmCpu, each: &mut dyn FnMut(&str)) {
        cpu.features().warnings().for_each(each);
    }

    fn new_slat() -> Result<NestedTables, NoMemory> {
        svm::new_tables()
    }

    fn new_vcpu(cpu: &mut SvmCpu, plan: &VcpuPlan<'_, NestedTables>) -> Result<SvmVcpu, NoMemory> {
        // SAFETY: the tables belong to the VM, which drops them after its vCPUs, and map its own RAM only.
        unsafe { SvmVcpu::new(cpu, plan.slat.root(), plan.cr4_allowed) }
    }
}
