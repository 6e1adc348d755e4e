//! The last words: what happened, where, to whom, and how it came to that.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::console;
use crate::logger::Direct;

/// Number of panics that have begun: the second one, ours or another CPU's, must not wait for the
/// first.
static PANICS: AtomicU32 = AtomicU32::new(0);

const DOUBLE_FAULT: u64 = 8;

/// Parks all other CPUs, writes the epitaph to serial and screen, and halts.
pub fn last_words(info: &PanicInfo<'_>) -> ! {
    cpu::disable_interrupts();
    match PANICS.fetch_add(1, Ordering::SeqCst) {
        0 => {}
        // A panic while the first one is being told: its bare message, where that is still possible.
        1 => {
            let _ = writeln!(
                Direct,
                "\ncaisson: and while telling that: {}",
                info.message()
            );
            cpu::halt_forever();
        }
        _ => cpu::halt_forever(),
    }
    if crate::boot::has_apic() {
        cpu::park_on_nmi();
        apic::broadcast_nmi();
    }
    // SAFETY: the others have been sent NMI; `seize` gives them time to let go first.
    unsafe { console::seize() };
    // Writing cannot fail.
    let _ = tell(info);
    cpu::halt_forever();
}

fn tell(info: &PanicInfo<'_>) -> core::fmt::Result {
    let out = &mut Direct;
    writeln!(out, "\n\n*** caisson panicked: {}", info.message())?;
    if let Some(location) = info.location() {
        writeln!(out, "  at {}:{}", location.file(), location.line())?;
    }
    if !cpu::area_ready() {
        return Ok(());
    }
    let area = cpu::this();
    writeln!(
        out,
        "  cpu{} (apic {}): {}",
        area.id(),
        area.apic_id(),
        area.notes()
    )?;
    let frame = area.fault_frame();
    if let Some(frame) = frame {
        writeln!(out, "{frame}")?;
        let below = area.stack().start.wrapping_sub(cpu::read_cr2() as usize);
        if frame.vector == DOUBLE_FAULT && (1..=memory::PAGE_BYTES as usize).contains(&below) {
            writeln!(out, "  the stack ran over into its guard page")?;
        }
    }
    let (cr0, cr3, cr4) = (cpu::read_cr0(), cpu::read_cr3(), cpu::read_cr4());
    writeln!(
        out,
        "  cr0 {cr0:08x}  cr3 {cr3:x}  cr4 {cr4:08x}  cr2 {:x}",
        cpu::read_cr2()
    )?;
    write!(out, "  backtrace (addr2line -fC -e caisson.elf):")?;
    if let Some(frame) = frame {
        write!(out, " {:#x}", frame.rip)?;
    }
    cpu::backtrace::walk(area.stack(), frame.map(|frame| frame.rbp), 32, |address| {
        let _ = write!(Direct, " {address:#x}");
    });
    writeln!(out, "\n*** all CPUs are parked; reset the machine")
}
