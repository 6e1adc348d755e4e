//! Components of the XSAVE area. (Intel SDM vol. 1 13.1 to 13.4)

use alloc::vec::Vec;
use x86::{CpuidResult, Xcr0};

/// Legacy region and header.
const BASE_BYTES: u32 = 576;

/// Components that may be in the guest's XSAVE area, and where the CPU puts them.
#[derive(Clone, Debug)]
pub(crate) struct Components {
    allowed: u64,
    /// From number 2 on.
    extended: Vec<Component>,
}

#[derive(Clone, Copy, Debug)]
struct Component {
    number: u32,
    leaf: CpuidResult,
}

/// Legacy components come first: x87 and SSE.
const FIRST_EXTENDED: u32 = 2;
/// Component numbers go up to 62; bit 63 is no component.
const END: u32 = 63;

impl Components {
    pub(crate) fn new(host: impl Fn(u32, u32) -> CpuidResult) -> Self {
        let has_xsave = host(1, 0).ecx & (1 << 26) != 0 && host(0, 0).eax >= 0xd;
        if !has_xsave {
            return Self {
                allowed: 0,
                extended: Vec::new(),
            };
        }
        // Not MPX, PKRU, AMX: their registers would have to be kept from the hypervisor and from other guests by other means.
        let offered =
            Xcr0::X87 | Xcr0::SSE | Xcr0::AVX | Xcr0::OPMASK | Xcr0::ZMM_HI256 | Xcr0::HI16_ZMM;
        let there = host(0xd, 0);
        let allowed = (u64::from(there.edx) << 32 | u64::from(there.eax)) & offered.bits();
        let extended = (FIRST_EXTENDED..END)
            .filter(|number| allowed & (1 << number) != 0)
            .map(|number| Component {
                number,
                leaf: host(0xd, number),
            })
            .collect();
        Self { allowed, extended }
    }

    pub(crate) fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Bytes of the area in standard form with these components.
    pub(crate) fn standard_bytes(&self, xcr0: u64) -> u32 {
        self.enabled(xcr0)
            .map(|c| c.leaf.ebx.saturating_add(c.leaf.eax))
            .fold(BASE_BYTES, u32::max)
    }

    /// Bytes of the area in compacted form with these components.
    pub(crate) fn compacted_bytes(&self, xcr0: u64) -> u32 {
        self.enabled(xcr0).fold(BASE_BYTES, |end, c| {
            let is_aligned = c.leaf.ecx & 2 != 0;
            let start = if is_aligned {
                end.next_multiple_of(64)
            } else {
                end
            };
            start.saturating_add(c.leaf.eax & 0xffff)
        })
    }

    /// Subleaves of leaf 0xD from 2 on: number and answer.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (u32, CpuidResult)> {
        self.extended.iter().map(|c| {
            let leaf = CpuidResult {
                ecx: c.leaf.ecx & 2,
                edx: 0,
                ..c.leaf
            };
            (c.number, leaf)
        })
    }

    fn enabled(&self, xcr0: u64) -> impl Iterator<Item = &Component> {
        self.extended
            .iter()
            .filter(move |c| xcr0 & (1 << c.number) != 0)
    }
}
