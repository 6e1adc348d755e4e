//! GDT, TSS and IDT.

use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

use crate::area::CpuArea;
use crate::stubs::stub_address;

/// The descriptor tables of one CPU that cannot be shared.
pub(crate) struct Tables {
    tss: TaskStateSegment,
    gdt: GlobalDescriptorTable,
}

impl Tables {
    pub(crate) const fn new() -> Self {
        Self {
            tss: TaskStateSegment::new(),
            gdt: GlobalDescriptorTable::new(),
        }
    }
}

/// Tops of the stacks for exceptions that may strike when RSP is worth nothing.
#[derive(Clone, Copy, Debug)]
pub struct IstStacks {
    /// For #DF.
    pub double_fault_top: usize,
    /// For NMI.
    pub nmi_top: usize,
    /// For #MC.
    pub machine_check_top: usize,
}

/// The selectors in use, the same on every CPU. Host state of VMX wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selectors {
    /// 64-bit code, ring 0.
    pub code: u16,
    /// Data, ring 0: SS, and DS, ES, FS, GS too.
    pub data: u16,
    /// Task state segment.
    pub task: u16,
}

/// The selectors every CPU uses.
pub const fn selectors() -> Selectors {
    Selectors {
        code: 1 << 3,
        data: 2 << 3,
        task: 3 << 3,
    }
}

const DOUBLE_FAULT_IST: u16 = 0;
const NMI_IST: u16 = 1;
const MACHINE_CHECK_IST: u16 = 2;

struct SharedIdt(UnsafeCell<InterruptDescriptorTable>);

// SAFETY: written by the boot CPU in `init_cpu` before any other CPU runs, read by the CPUs afterwards.
unsafe impl Sync for SharedIdt {}

/// One IDT serves all CPUs; the stacks differ by TSS.
static IDT: SharedIdt = SharedIdt(UnsafeCell::new(InterruptDescriptorTable::new()));

/// Gives the running CPU its area (GS base), GDT, TSS and IDT. CPU 0 comes first, alone.
///
/// May be called again on the same CPU with the same area, to move to better stacks.
///
/// # Safety
/// 1. Ring 0, long mode, interrupts off.
/// 2. The stacks are mapped, writable, used by nobody else, and stay so.
/// 3. No other CPU uses this area; CPU 0 has finished its call before others make theirs.
pub unsafe fn init_cpu(area: &'static CpuArea, stacks: IstStacks) {
    let tables = area.tables.get();
    // SAFETY: by promise 3 no other reference to the tables exists.
    let tables = unsafe { &mut *tables };
    // The TSS is packed: the list goes through a copy.
    let mut list = tables.tss.interrupt_stack_table;
    list[usize::from(DOUBLE_FAULT_IST)] = VirtAddr::new(stacks.double_fault_top as u64);
    list[usize::from(NMI_IST)] = VirtAddr::new(stacks.nmi_top as u64);
    list[usize::from(MACHINE_CHECK_IST)] = VirtAddr::new(stacks.machine_check_top as u64);
    tables.tss.interrupt_stack_table = list;

    let mut gdt = GlobalDescriptorTable::new();
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    // SAFETY: the TSS lives in the area, for ever.
    let task_descriptor = unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) };
    let task = gdt.append(task_descriptor);
    debug_assert_eq!(
        (code.0, data.0, task.0),
        (selectors().code, selectors().data, selectors().task)
    );
    tables.gdt = gdt;
    // SAFETY: the GDT lives in the area, for ever, and holds the selectors loaded below.
    unsafe { tables.gdt.load_unsafe() };
    load_segments(code, data);
    // SAFETY: a fresh, available 64-bit TSS descriptor.
    unsafe { load_tss(task) };

    area.install();
    if area.id() == 0 {
        fill_idt();
    }
    // SAFETY: filled above, or by CPU 0 before; static. Only shared references exist once CPU 0 has filled it.
    let idt = unsafe { &*IDT.0.get() };
    // SAFETY: the handlers are the stubs; the table is static.
    unsafe { idt.load_unsafe() };
}

fn load_segments(code: SegmentSelector, data: SegmentSelector) {
    // SAFETY: a 64-bit ring 0 code descriptor at that selector.
    unsafe { CS::set_reg(code) };
    // SAFETY: a ring 0 data descriptor, here and below; its base is ignored except for FS and GS, whose base
    // becomes 0 until `install` sets GS.
    unsafe { SS::set_reg(data) };
    // SAFETY: as above.
    unsafe { DS::set_reg(data) };
    // SAFETY: as above.
    unsafe { ES::set_reg(data) };
    // SAFETY: as above.
    unsafe { FS::set_reg(data) };
    // SAFETY: as above; nobody uses GS between here and `install`: interrupts are off.
    unsafe { GS::set_reg(data) };
}

fn fill_idt() {
    // SAFETY: CPU 0 only, before the others run.
    let idt = unsafe { &mut *IDT.0.get() };
    macro_rules! exception {
        ($($field:ident = $vector:literal),* $(,)?) => {$(
            // SAFETY: the stub of this very vector, built for it.
            unsafe { idt.$field.set_handler_addr(VirtAddr::new(stub_address($vector))) };
        )*};
        ($($field:ident = $vector:literal on $ist:expr),* $(,)?) => {$({
            // SAFETY: as above.
            let options = unsafe { idt.$field.set_handler_addr(VirtAddr::new(stub_address($vector))) };
            // SAFETY: `init_cpu` filled this entry of the interrupt stack table.
            unsafe { options.set_stack_index($ist) };
        })*};
    }
    exception!(
        divide_error = 0,
        debug = 1,
        breakpoint = 3,
        overflow = 4,
        bound_range_exceeded = 5,
        invalid_opcode = 6,
        device_not_available = 7,
        invalid_tss = 10,
        segment_not_present = 11,
        stack_segment_fault = 12,
        general_protection_fault = 13,
        page_fault = 14,
        x87_floating_point = 16,
        alignment_check = 17,
        simd_floating_point = 19,
        virtualization = 20,
        cp_protection_exception = 21,
        hv_injection_exception = 28,
        vmm_communication_exception = 29,
        security_exception = 30,
    );
    exception!(
        double_fault = 8 on DOUBLE_FAULT_IST,
        non_maskable_interrupt = 2 on NMI_IST,
        machine_check = 18 on MACHINE_CHECK_IST,
    );
    for vector in 32..=255u8 {
        // SAFETY: the stub of this very vector.
        unsafe { idt[vector].set_handler_addr(VirtAddr::new(stub_address(vector))) };
    }
}
