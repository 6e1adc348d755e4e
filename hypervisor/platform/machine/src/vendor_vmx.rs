//! VT-x as a [`Vendor`].

use host::{NoMemory, VcpuPlan};
use memory::TableFrames;
use slat::{Ept, PageSize, SlatTable};
use vmx::{EnableError, VmxCpu, VmxVcpu};

use crate::vendor::Vendor;

/// VT-x.
pub struct Vmx;

impl Vendor for Vmx {
    type Cpu = VmxCpu;
    type Vcpu = VmxVcpu;
    type Slat = SlatTable<Ept, TableFrames>;
    type Refusal = EnableError;

    const NAME: &'static str = "VT-x";

    fn enable() -> Result<VmxCpu, EnableError> {
        VmxCpu::enable()
    }

    fn for_each_warning(cpu: &VmxCpu, each: &mut dyn FnMut(&str)) {
        cpu.features().warnings().for_each(each);
    }

    fn new_slat() -> Result<Self::Slat, NoMemory> {
        // `enable` has read the same features on this very machine; small pages work on all that have EPT.
        let largest =
            vmx::Features::read().map_or(PageSize::Small, |features| features.largest_page);
        SlatTable::new(TableFrames, largest)
    }

    fn new_vcpu(cpu: &mut VmxCpu, plan: &VcpuPlan<'_, Self::Slat>) -> Result<VmxVcpu, NoMemory> {
        VmxVcpu::new(cpu, plan, plan.slat.root())
    }
}
