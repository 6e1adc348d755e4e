//! Host state that a VM exit loads into the CPU: the hypervisor's own, as it is on the CPU this
//! runs on. (Intel SDM vol. 3C 25.5, checks in 27.2.2 and 27.2.3)

use core::arch::asm;

use ::cpu::{read_cr0, read_cr3, read_cr4, read_msr, selectors};
use x86::msr;

use crate::enter::exit_point;
use crate::fields;
use crate::vmcs::Loaded;

/// Operand that SGDT and SIDT store.
#[repr(C, packed)]
#[derive(Default)]
struct TableRegister {
    limit: u16,
    base: u64,
}

fn read_gdtr() -> TableRegister {
    let mut register = TableRegister::default();
    // SAFETY: stores ten bytes into a structure of ten bytes.
    unsafe {
        asm!("sgdt [{}]", in(reg) &raw mut register, options(nostack, preserves_flags));
    }
    register
}

fn read_idtr() -> TableRegister {
    let mut register = TableRegister::default();
    // SAFETY: as in `read_gdtr`.
    unsafe {
        asm!("sidt [{}]", in(reg) &raw mut register, options(nostack, preserves_flags));
    }
    register
}

/// Base address in the 16-byte descriptor of a 64-bit TSS. (Intel SDM vol. 3A 8.2.3)
const fn task_state_base(low: u64, high: u64) -> u64 {
    low >> 16 & 0xff_ffff | (low >> 56 & 0xff) << 24 | high << 32
}

fn read_task_state_base(gdt: u64) -> u64 {
    let descriptor = (gdt + u64::from(selectors().task)) as *const [u64; 2];
    // SAFETY: the CPU loaded TR from this descriptor of 16 bytes in this table, and tables are never freed.
    let [low, high] = unsafe { descriptor.read_unaligned() };
    task_state_base(low, high)
}

/// Fills the host-state area, all but RSP, which the world switch writes.
pub(crate) fn write(vmcs: Loaded) {
    let (gdtr, idtr, selectors) = (read_gdtr(), read_idtr(), selectors());
    vmcs.write(fields::HOST_CR0, read_cr0());
    vmcs.write(fields::HOST_CR3, read_cr3());
    vmcs.write(fields::HOST_CR4, read_cr4());
    vmcs.write(fields::HOST_RIP, exit_point as *const () as u64);
    vmcs.write(fields::HOST_CS_SELECTOR, selectors.code);
    for field in [
        fields::HOST_SS_SELECTOR,
        fields::HOST_DS_SELECTOR,
        fields::HOST_ES_SELECTOR,
    ] {
        vmcs.write(field, selectors.data);
    }
    // Null: their bases are written below.
    vmcs.write(fields::HOST_FS_SELECTOR, 0);
    vmcs.write(fields::HOST_GS_SELECTOR, 0);
    vmcs.write(fields::HOST_TR_SELECTOR, selectors.task);
    vmcs.write(fields::HOST_FS_BASE, 0);
    vmcs.write(fields::HOST_GS_BASE, read_msr(msr::IA32_GS_BASE));
    vmcs.write(fields::HOST_TR_BASE, read_task_state_base(gdtr.base));
    vmcs.write(fields::HOST_GDTR_BASE, gdtr.base);
    vmcs.write(fields::HOST_IDTR_BASE, idtr.base);
    vmcs.write(fields::HOST_PAT, read_msr(msr::IA32_PAT));
    vmcs.write(fields::HOST_EFER, read_msr(msr::IA32_EFER));
    vmcs.write(fields::HOST_SYSENTER_CS, 0);
    vmcs.write(fields::HOST_SYSENTER_ESP, 0);
    vmcs.write(fields::HOST_SYSENTER_EIP, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_put_together_from_its_pieces() {
        assert_eq!(
            task_state_base(0x1200_8934_5678_0067, 0xffff_8000),
            0xffff_8000_1234_5678
        );
    }
}
