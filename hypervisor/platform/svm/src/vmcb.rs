//! The virtual machine control block: what the CPU reads at VMRUN and writes at #VMEXIT.
//! (AMD APM vol. 2 appendix B, tables B-1 and B-2)

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use addr::Hpa;
use host::NoMemory;
use memory::Frames;

/// Control area. Field names follow the manual's table; what is not named is reserved or unused and stays zero.
#[repr(C)]
pub(crate) struct Control {
    pub(crate) cr_reads: u16,
    pub(crate) cr_writes: u16,
    pub(crate) dr_reads: u16,
    pub(crate) dr_writes: u16,
    /// One bit per exception vector.
    pub(crate) exceptions: u32,
    /// [`intercept`]'s first word.
    pub(crate) instructions1: u32,
    /// [`intercept`]'s second word.
    pub(crate) instructions2: u32,
    pub(crate) instructions3: u32,
    reserved_18: [u8; 0x24],
    pub(crate) pause_threshold: u16,
    pub(crate) pause_count: u16,
    pub(crate) iopm: u64,
    pub(crate) msrpm: u64,
    pub(crate) tsc_offset: u64,
    pub(crate) asid: u32,
    pub(crate) tlb_control: u8,
    reserved_5d: [u8; 3],
    /// [`interrupt`]'s bits.
    pub(crate) interrupt: u32,
    /// Vector of the virtual interrupt.
    pub(crate) interrupt_vector: u32,
    /// Bit 0: the guest is in the shadow of STI or MOV SS.
    pub(crate) interrupt_shadow: u64,
    pub(crate) exit_code: u64,
    pub(crate) exit_info1: u64,
    pub(crate) exit_info2: u64,
    /// The event whose delivery the exit cut short; [`event`](mod@crate::event) has its format.
    pub(crate) exit_interrupt: u64,
    /// Bit 0: nested paging.
    pub(crate) nested: u64,
    avic_bar: u64,
    ghcb: u64,
    /// The event VMRUN delivers first.
    pub(crate) event: u64,
    pub(crate) nested_cr3: u64,
    lbr: u64,
    /// [`clean`]'s bits: what the CPU may take from its cache of this block.
    pub(crate) clean: u32,
    reserved_c4: u32,
    /// Where the next instruction is, where the CPU saves it.
    pub(crate) next_rip: u64,
    /// Number of valid bytes in `fetched`, with decode assists.
    pub(crate) fetched_count: u8,
    pub(crate) fetched: [u8; 15],
    reserved_e0: [u8; 0x320],
}

/// A segment or descriptor-table register.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VmcbSegment {
    pub(crate) selector: u16,
    pub(crate) attributes: u16,
    pub(crate) limit: u32,
    pub(crate) base: u64,
}

/// State save area.
#[repr(C)]
pub(crate) struct Save {
    /// ES, CS, SS, DS, FS, GS: by encoding.
    pub(crate) segment: [VmcbSegment; 6],
    pub(crate) gdtr: VmcbSegment,
    pub(crate) ldtr: VmcbSegment,
    pub(crate) idtr: VmcbSegment,
    pub(crate) tr: VmcbSegment,
    reserved_a0: [u8; 0x2b],
    pub(crate) cpl: u8,
    reserved_cc: [u8; 4],
    pub(crate) efer: u64,
    reserved_d8: [u8; 0x70],
    pub(crate) cr4: u64,
    pub(crate) cr3: u64,
    pub(crate) cr0: u64,
    pub(crate) dr7: u64,
    pub(crate) dr6: u64,
    pub(crate) rflags: u64,
    pub(crate) rip: u64,
    reserved_180: [u8; 0x58],
    pub(crate) rsp: u64,
    reserved_1e0: [u8; 0x18],
    pub(crate) rax: u64,
    pub(crate) star: u64,
    pub(crate) lstar: u64,
    pub(crate) cstar: u64,
    pub(crate) sfmask: u64,
    pub(crate) kernel_gs_base: u64,
    pub(crate) sysenter_cs: u64,
    pub(crate) sysenter_esp: u64,
    pub(crate) sysenter_eip: u64,
    pub(crate) cr2: u64,
    reserved_248: [u8; 0x20],
    pub(crate) pat: u64,
    reserved_270: [u8; 0x990],
}

/// The whole block, one page.
#[repr(C, align(4096))]
pub(crate) struct Vmcb {
    pub(crate) control: Control,
    pub(crate) save: Save,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Vmcb>() == 4096);
    assert!(offset_of!(Control, pause_threshold) == 0x3c);
    assert!(offset_of!(Control, asid) == 0x58);
    assert!(offset_of!(Control, exit_code) == 0x70);
    assert!(offset_of!(Control, event) == 0xa8);
    assert!(offset_of!(Control, clean) == 0xc0);
    assert!(offset_of!(Control, fetched_count) == 0xd0);
    assert!(offset_of!(Vmcb, save) == 0x400);
    assert!(offset_of!(Save, tr) == 0x90);
    assert!(offset_of!(Save, cpl) == 0xcb);
    assert!(offset_of!(Save, efer) == 0xd0);
    assert!(offset_of!(Save, cr4) == 0x148);
    assert!(offset_of!(Save, rip) == 0x178);
    assert!(offset_of!(Save, rsp) == 0x1d8);
    assert!(offset_of!(Save, rax) == 0x1f8);
    assert!(offset_of!(Save, cr2) == 0x240);
    assert!(offset_of!(Save, pat) == 0x268);
};

/// Bits of the two instruction-intercept words. (AMD APM vol. 2 table B-1, offsets 0x00C and 0x010)
pub(crate) mod intercept {
    // First word.
    pub(crate) const INTR: u32 = 1 << 0;
    pub(crate) const NMI: u32 = 1 << 1;
    pub(crate) const SMI: u32 = 1 << 2;
    pub(crate) const INIT: u32 = 1 << 3;
    pub(crate) const VINTR: u32 = 1 << 4;
    pub(crate) const RDPMC: u32 = 1 << 15;
    pub(crate) const CPUID: u32 = 1 << 18;
    pub(crate) const RSM: u32 = 1 << 19;
    pub(crate) const IRET: u32 = 1 << 20;
    pub(crate) const INVD: u32 = 1 << 22;
    pub(crate) const PAUSE: u32 = 1 << 23;
    pub(crate) const HLT: u32 = 1 << 24;
    pub(crate) const INVLPGA: u32 = 1 << 26;
    pub(crate) const IOIO: u32 = 1 << 27;
    pub(crate) const MSR: u32 = 1 << 28;
    pub(crate) const SHUTDOWN: u32 = 1 << 31;
    // Second word.
    pub(crate) const VMRUN: u32 = 1 << 0;
    pub(crate) const VMMCALL: u32 = 1 << 1;
    pub(crate) const VMLOAD: u32 = 1 << 2;
    pub(crate) const VMSAVE: u32 = 1 << 3;
    pub(crate) const STGI: u32 = 1 << 4;
    pub(crate) const CLGI: u32 = 1 << 5;
    pub(crate) const SKINIT: u32 = 1 << 6;
    pub(crate) const WBINVD: u32 = 1 << 9;
    pub(crate) const MONITOR: u32 = 1 << 10;
    pub(crate) const MWAIT: u32 = 1 << 11;
    pub(crate) const XSETBV: u32 = 1 << 13;
    pub(crate) const RDPRU: u32 = 1 << 14;
}

/// Bits of the virtual-interrupt word. (AMD APM vol. 2 table B-1, offset 0x060)
pub(crate) mod interrupt {
    /// The guest's task priority class, CR8.
    pub(crate) const TPR: u32 = 0xf;
    /// A virtual interrupt is pending.
    pub(crate) const IRQ: u32 = 1 << 8;
    /// Position of its priority class.
    pub(crate) const PRIORITY_SHIFT: u32 = 16;
    /// Four bits of class.
    pub(crate) const PRIORITY: u32 = 0xf << PRIORITY_SHIFT;
    /// The virtual interrupt is taken whatever CR8 says.
    pub(crate) const IGNORE_TPR: u32 = 1 << 20;
    /// RFLAGS.IF and CR8 of the guest govern virtual interrupts only; the host's IF governs physical ones.
    pub(crate) const MASKING: u32 = 1 << 24;
}

/// Bits of the clean word. (AMD APM vol. 2 15.15.3)
pub(crate) mod clean {
    /// Intercepts, TSC offset, pause filter.
    pub(crate) const INTERCEPTS: u32 = 1 << 0;
    /// ASID.
    pub(crate) const ASID: u32 = 1 << 2;
    /// The virtual-interrupt words.
    pub(crate) const INTERRUPT: u32 = 1 << 3;
    /// Nested CR3 and guest PAT.
    pub(crate) const NESTED: u32 = 1 << 4;
    /// CR0, CR3, CR4, EFER.
    pub(crate) const CONTROL_REGISTERS: u32 = 1 << 5;
    /// DR6, DR7.
    pub(crate) const DEBUG: u32 = 1 << 6;
    /// CR2.
    pub(crate) const CR2: u32 = 1 << 9;
    /// Everything the manual defines up to here; the LBR and AVIC words never change.
    pub(crate) const ALL: u32 = 0xfff;
}

/// Values of TLB_CONTROL. (AMD APM vol. 2 table B-1, offset 0x05C)
pub(crate) mod tlb {
    /// Nothing.
    pub(crate) const KEEP: u8 = 0;
    /// All entries of all ASIDs, global ones too.
    pub(crate) const FLUSH_ALL: u8 = 1;
    /// All entries of this guest's ASID; needs flush-by-ASID.
    pub(crate) const FLUSH_GUEST: u8 = 3;
}

/// One block in its page.
pub(crate) struct VmcbPage {
    block: NonNull<Vmcb>,
    frames: Frames,
}

// SAFETY: the page has one owner, this; any CPU may reach it through the direct map.
unsafe impl Send for VmcbPage {}
// SAFETY: shared access only reads, and the CPU writes the block only in VMRUN, under `&mut`.
unsafe impl Sync for VmcbPage {}

impl VmcbPage {
    /// A zeroed block.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let frames = Frames::one()?;
        let block = frames.ptr().cast();
        Ok(Self { block, frames })
    }

    /// Where the CPU finds it.
    #[inline]
    pub(crate) fn hpa(&self) -> Hpa {
        self.frames.hpa()
    }
}

impl Deref for VmcbPage {
    type Target = Vmcb;

    #[inline]
    fn deref(&self) -> &Vmcb {
        // SAFETY: an owned, mapped, aligned page; every bit pattern is a legal `Vmcb`.
        unsafe { self.block.as_ref() }
    }
}

impl DerefMut for VmcbPage {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vmcb {
        // SAFETY: as in `deref`, and `&mut self` makes it the only reference.
        unsafe { self.block.as_mut() }
    }
}
