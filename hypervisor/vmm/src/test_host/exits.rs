//! Exits as a test lets a vCPU make them.

use vcpu::Exit;
use x86::Width;

fn len(bytes: u8) -> vcpu::InsnLen {
    vcpu::InsnLen::new(bytes).expect("a length")
}

/// OUT of a byte.
pub fn out(port: u16, value: u8) -> Exit {
    out_wide(port, Width::Byte, value.into())
}

/// OUT.
pub fn out_wide(port: u16, width: Width, value: u32) -> Exit {
    Exit::PioOut(vcpu::PioOut {
        port,
        width,
        value,
        len: len(1),
    })
}

/// IN.
pub fn input(port: u16, width: Width) -> Exit {
    Exit::PioIn(vcpu::PioIn {
        port,
        width,
        len: len(1),
    })
}

/// RDMSR.
pub fn read_msr(index: u32) -> Exit {
    Exit::ReadMsr(vcpu::ReadMsr { index, len: len(2) })
}

/// WRMSR.
pub fn write_msr(index: u32, value: u64) -> Exit {
    Exit::WriteMsr(vcpu::WriteMsr {
        index,
        value,
        len: len(2),
    })
}

/// CPUID, subleaf 0.
pub fn cpuid(leaf: u32) -> Exit {
    Exit::Cpuid(vcpu::Cpuid {
        leaf,
        subleaf: 0,
        len: len(2),
    })
}

/// HLT.
pub fn hlt() -> Exit {
    Exit::Halt(vcpu::Halt { len: len(1) })
}

/// An access to a device by the instruction with these bytes.
pub fn touch(address: u64, access: vcpu::Access, bytes: &[u8]) -> Exit {
    let mut insn = vcpu::InsnBytes {
        count: bytes.len() as u8,
        bytes: [0; 15],
    };
    insn.bytes[..bytes.len()].copy_from_slice(bytes);
    Exit::SlatFault(vcpu::SlatFault {
        insn,
        ..fault(address, access)
    })
}

/// A SLAT fault whose instruction the hypervisor has to fetch.
pub fn fault(address: u64, access: vcpu::Access) -> vcpu::SlatFault {
    vcpu::SlatFault {
        gpa: addr::Gpa::new(address),
        access,
        gva: Some(addr::Gva::new(address)),
        is_table_walk: false,
        is_delivery: false,
        insn: vcpu::InsnBytes::default(),
    }
}
