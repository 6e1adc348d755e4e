//! The VMCS region, and the instructions that work on it.

use core::arch::asm;
use core::sync::atomic::Ordering;

use addr::Hpa;
use host::NoMemory;
use memory::Frames;

use crate::fields::{Field, FieldValue, ReadField};
use crate::resident::resident;

/// The region of one vCPU.
#[derive(Debug)]
pub(crate) struct Vmcs {
    region: Frames,
    home: u32,
}

/// Proof that a certain VMCS is the current one of this CPU: what reads and writes its fields.
///
/// Short-lived: it is made by [`Vmcs::load`] at the start of an operation and never stored.
#[derive(Clone, Copy)]
pub(crate) struct Loaded(());

/// Why VMXON, VMCLEAR or VMPTRLD failed. (Intel SDM vol. 3C 31.2, "conventions")
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VmFail;

impl Vmcs {
    /// A region with this revision identifier, in the state "clear", that belongs to CPU `home`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub(crate) fn new(revision: u32, home: u32) -> Result<Self, NoMemory> {
        let mut region = Frames::one()?;
        write_revision(&mut region, revision);
        let vmcs = Self { region, home };
        vmcs.clear();
        Ok(vmcs)
    }

    /// Makes this VMCS the current one of this CPU, if it is not. (Intel SDM vol. 3C 25.1)
    ///
    /// # Panics
    /// On another CPU than its home: a VMCS must not be active on two.
    #[inline]
    pub(crate) fn load(&self) -> Loaded {
        let this_cpu = cpu::this().id();
        if resident(this_cpu).vmcs.load(Ordering::Relaxed) != self.region.hpa().raw() {
            self.load_slowly(this_cpu);
        }
        Loaded(())
    }

    #[cold]
    fn load_slowly(&self, this_cpu: u32) {
        assert!(
            this_cpu == self.home,
            "a vCPU of cpu{} was touched on cpu{this_cpu}",
            self.home
        );
        let hpa = self.region.hpa();
        // SAFETY:
        // 1. VMX operation is on: a `Vmcs` is made with a `VmxCpu` of this CPU at hand.
        // 2. The region is ours, 4 KiB aligned, carries the revision and was cleared: see `new`.
        // 3. It is active on no other CPU: checked above.
        unsafe { vmptrld(hpa) }.expect("the region is valid");
        resident(this_cpu).vmcs.store(hpa.raw(), Ordering::Relaxed);
    }

    fn clear(&self) {
        // SAFETY: as in `load_slowly`; what the CPU kept of it is written back to the region, which is ours.
        unsafe { vmclear(self.region.hpa()) }.expect("the region is valid");
    }
}

impl Drop for Vmcs {
    fn drop(&mut self) {
        assert!(
            cpu::this().id() == self.home,
            "a vCPU is dropped on its home CPU"
        );
        // The frame must not be freed while the CPU may still write it back.
        self.clear();
        let _ = resident(self.home).vmcs.compare_exchange(
            self.region.hpa().raw(),
            0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

/// Puts the revision identifier into a fresh region. (Intel SDM vol. 3C 25.2)
pub(crate) fn write_revision(region: &mut Frames, revision: u32) {
    region.bytes_mut()[..4].copy_from_slice(&revision.to_le_bytes());
}

impl ReadField for Loaded {
    #[inline]
    fn read<T: FieldValue>(&self, field: Field<T>) -> T {
        T::from_register(vmread(field.encoding()))
    }
}

impl Loaded {
    /// Replaces the value of a field.
    ///
    /// # Panics
    /// When the CPU has no such field or it is read-only: our mistake.
    #[inline]
    pub(crate) fn write<T: FieldValue>(&self, field: Field<T>, value: T) {
        vmwrite(field.encoding(), value.into_register());
    }

    /// Reads a field by number; `None` if this CPU has no such field.
    #[must_use]
    pub(crate) fn try_read(&self, encoding: u32) -> Option<u64> {
        let value: u64;
        let is_bad: u8;
        // SAFETY: reads into a register. In VMX operation it cannot fault: a `Loaded` exists only there.
        unsafe {
            asm!("vmread {}, {}", "setbe {}", out(reg) value, in(reg) u64::from(encoding),
                lateout(reg_byte) is_bad, options(nostack, readonly));
        }
        (is_bad == 0).then_some(value)
    }
}

#[inline]
fn vmread(encoding: u32) -> u64 {
    let value: u64;
    // SAFETY: reads into a register. In VMX operation it cannot fault: a `Loaded` exists only there.
    unsafe {
        asm!("vmread {}, {}", out(reg) value, in(reg) u64::from(encoding), options(nostack, readonly));
    }
    value
}

#[inline]
fn vmwrite(encoding: u32, value: u64) {
    // SAFETY: writes the current VMCS only. In VMX operation it cannot fault: a `Loaded` exists only there. That the
    // values make sense is checked by the CPU at entry.
    unsafe {
        asm!("vmwrite {}, {}", "jbe {}", in(reg) u64::from(encoding), in(reg) value,
            label { refused(encoding, value) }, options(nostack));
    }
}

#[cold]
fn refused(encoding: u32, value: u64) {
    panic!("VMWRITE of {value:#x} to field {encoding:#x} failed");
}

macro_rules! region_instruction {
    ($(#[$doc:meta])* $name:ident, $mnemonic:literal) => {
        $(#[$doc])*
        pub(crate) unsafe fn $name(region: Hpa) -> Result<(), VmFail> {
            let pointer = region.raw();
            let is_bad: u8;
            // SAFETY: the caller's promise.
            unsafe {
                asm!(concat!($mnemonic, " qword ptr [{}]"), "setbe {}", in(reg) &raw const pointer,
                    lateout(reg_byte) is_bad, options(nostack));
            }
            if is_bad == 0 { Ok(()) } else { Err(VmFail) }
        }
    };
}

region_instruction!(
    /// Enters VMX root operation.
    ///
    /// # Safety
    /// CR4.VMXE is set, IA32_FEATURE_CONTROL allows it, and the region, of this CPU alone, stays allocated while VMX
    /// operation lasts. Otherwise this faults.
    vmxon, "vmxon"
);
region_instruction!(
    /// Makes the region the current VMCS.
    ///
    /// # Safety
    /// VMX operation is on; the region is a VMCS that is active on no other CPU and stays allocated until VMCLEAR.
    vmptrld, "vmptrld"
);
region_instruction!(
    /// Writes the region back and makes it inactive, its launch state "clear".
    ///
    /// # Safety
    /// VMX operation is on, and the region is a VMCS of ours.
    vmclear, "vmclear"
);

/// Descriptor that INVEPT and INVVPID take from memory.
#[repr(C, align(16))]
struct Descriptor([u64; 2]);

/// Which translations INVEPT drops: 1 those of one EPTP, 2 all. (Intel SDM vol. 3C 31.3, INVEPT)
///
/// # Safety
/// VMX operation is on and the CPU has INVEPT with this type.
pub(crate) unsafe fn invept(kind: u64, ept_pointer: u64) {
    let descriptor = Descriptor([ept_pointer, 0]);
    // SAFETY: the caller's promise; translations that are dropped are only walked again.
    unsafe {
        asm!("invept {}, [{}]", in(reg) kind, in(reg) &raw const descriptor, options(nostack));
    }
}

/// Which translations INVVPID drops: 1 those of one VPID, 2 those of all. (Intel SDM vol. 3C 31.3, INVVPID)
///
/// # Safety
/// VMX operation is on and the CPU has INVVPID with this type.
pub(crate) unsafe fn invvpid(kind: u64, vpid: u16) {
    let descriptor = Descriptor([u64::from(vpid), 0]);
    // SAFETY: the caller's promise; translations that are dropped are only walked again.
    unsafe {
        asm!("invvpid {}, [{}]", in(reg) kind, in(reg) &raw const descriptor, options(nostack));
    }
}
