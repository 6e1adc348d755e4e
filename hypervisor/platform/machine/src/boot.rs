//! From the loader's jump to a machine that is ready, on the boot CPU.

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use addr::Hpa;
use cpu::CpuArea;
use handoff::{BootInfo, ConfigOrigin, PhysRange, RegionKind};
use spin::Once;
use time::Clock;

use crate::acpi::{self, Facts, Physical};
use crate::cpus::{self, Home, Whom};
use crate::host::EarlyStack;
use crate::{console, logger, power, rtc, tsc, tsc_sync};

/// A file of the boot volume, in memory for good.
#[derive(Clone, Debug)]
pub struct BootFile {
    /// Its path as in the configuration.
    pub name: String,
    /// Its contents.
    pub bytes: &'static [u8],
}

/// Files the loader brought along for the VMM.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// The configuration blob, for `vm_spec::from_blob`.
    pub config: Vec<u8>,
    /// True if it is the built-in default.
    pub is_default_config: bool,
    /// The files that it names.
    pub files: Vec<BootFile>,
}

/// Facts about the machine that start-up found out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineFacts {
    pub(crate) clock: Clock,
    pub(crate) wall_clock_at_start: u64,
}

static FACTS: Once<MachineFacts> = Once::new();
static HAS_APIC: AtomicBool = AtomicBool::new(false);
static MAIN: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static INFO: AtomicUsize = AtomicUsize::new(0);

struct EarlyArea(UnsafeCell<EarlyStack>);
// SAFETY: only ever an address; the CPU writes there in an exception.
unsafe impl Sync for EarlyArea {}
static EARLY_STACK: EarlyArea = EarlyArea(UnsafeCell::new(EarlyStack::new()));
static BOOT_AREA: CpuArea = CpuArea::new(0, 0);

/// Returns whether IPIs can be sent.
pub(crate) fn has_apic() -> bool {
    HAS_APIC.load(Ordering::Acquire)
}

/// Returns the facts that start-up found out. Only after [`start`] has called its `main`.
pub(crate) fn facts() -> MachineFacts {
    *FACTS.get().expect("start() sets it before it calls main")
}

/// Function of the image that runs when the machine is ready.
pub type Main = fn(BootFiles) -> !;

/// Prepares the machine: exceptions, memory, console, clocks, APIC, all other CPUs; then calls `main` on the boot
/// CPU's own stack.
///
/// # Safety
/// Called once, first thing, by the image's entry point, with the pointer the loader gave and in the state the
/// contract of `handoff` describes.
pub unsafe fn start(info: *const BootInfo, main: Main) -> ! {
    let ist = EarlyStack::as_ist(EARLY_STACK.0.get());
    // SAFETY: ring 0, long mode, interrupts off: the contract. The stack is a static of this purpose.
    unsafe { cpu::init_cpu(&BOOT_AREA, ist) };
    BOOT_AREA.set_stack(
        (handoff::BOOT_STACK_BASE + handoff::BOOT_STACK_LEN_BYTES) as usize,
        handoff::BOOT_STACK_LEN_BYTES as usize,
    );
    let has_serial = console::start_serial();
    logger::start();
    // SAFETY: the loader's page tables have no user pages and right NX bits: the contract.
    unsafe { cpu::enable_host_features() };
    // SAFETY: the loader's pointer into its direct map; nobody writes there.
    let info = unsafe { &*info };
    if let Err(error) = info.validate() {
        panic!("the loader and this image do not fit: {error}");
    }
    // SAFETY: once, on the boot CPU, with the host features on.
    if let Err(error) = unsafe { memory::take_over(info) } {
        panic!("memory cannot be taken over: {error}");
    }
    if let Some(framebuffer) = info.framebuffer() {
        console::start_screen(&framebuffer);
    }
    if !has_serial {
        log::warn!("no serial port at 0x3f8: the screen is all there is");
    }
    let home = Home::new().unwrap_or_else(|_| panic!("no memory for the stacks of the boot CPU"));
    // SAFETY: ring 0, long mode, interrupts off; new stacks of this CPU alone.
    unsafe { cpu::init_cpu(&BOOT_AREA, home.ist) };
    BOOT_AREA.set_stack(home.stack.top, home.stack.bytes);
    // SAFETY: a static in whole pages of its own; the task-state segment that named it has just been filled anew, and no other
    // CPU has started.
    unsafe { memory::reclaim_static(EARLY_STACK.0.get()) };
    MAIN.store(main as *mut (), Ordering::Relaxed);
    INFO.store(core::ptr::from_ref(info) as usize, Ordering::Relaxed);
    // SAFETY: a fresh stack; nothing on the loader's is needed again: all that goes on is in statics.
    unsafe {
        cpu::switch_stack(
            home.stack.top,
            INFO.load(Ordering::Relaxed),
            continue_on_own_stack,
        )
    }
}

/// The rest of [`start`], on a stack of our own.
extern "C" fn continue_on_own_stack(info: usize) -> ! {
    // SAFETY: loader memory is still in place; `take_boot_files` copies what is needed before it goes.
    let info: BootInfo = unsafe { *(info as *const BootInfo) };
    let facts = acpi::read(&DirectMap, info.rsdp);
    power::remember(&facts);
    let (khz, source) = tsc::calibrate(facts.hpet, facts.pm_timer);
    let clock = Clock::new(khz, cpu::read_tsc());
    logger::set_clock(clock);
    let wall_clock_at_start = rtc::read_unix_seconds(facts.century_index);
    FACTS.call_once(|| MachineFacts {
        clock,
        wall_clock_at_start,
    });

    log::info!("Caisson {} on {}", env!("CARGO_PKG_VERSION"), CpuName);
    log::info!("TSC {}.{:03} MHz ({source})", khz / 1000, khz % 1000);
    if info.rsdp == 0 {
        log::warn!("no ACPI tables: legacy addresses are used, and power-off may not work");
    }
    start_apic(&facts, khz);
    console::start_keyboard();
    let whom = whom_to_wake(&info, &facts);
    cpus::start_others(&whom, khz);
    tsc_sync::compare_others(cpus::count(), khz);
    log::info!("{} CPUs, {}, {}", cpus::count(), Apic, Timer(khz));
    let boot_files = take_boot_files(&info);
    log::info!("{}", memory::LogReport);
    let main = MAIN.load(Ordering::Relaxed);
    // SAFETY: stored by `start`, a `Main`.
    let main = unsafe { core::mem::transmute::<*mut (), Main>(main) };
    main(boot_files)
}

fn start_apic(facts: &Facts, khz: u64) {
    apic::silence_pic();
    if apic::choose_mode().is_err() {
        panic!("no memory to map the local APIC");
    }
    apic::enable();
    BOOT_AREA.set_apic_id(apic::id());
    HAS_APIC.store(true, Ordering::Release);
    // Firmware without tables still has the IOAPIC where every PC has it.
    let ioapics = if facts.ioapics.is_empty() {
        &[0xfec0_0000][..]
    } else {
        &facts.ioapics
    };
    for &base in ioapics {
        // SAFETY: the firmware's tables say so, or the PC's convention.
        match unsafe { apic::IoApic::map(Hpa::new(base)) } {
            Ok(mut ioapic) => ioapic.mask_all(),
            Err(error) => log::warn!("IOAPIC at {base:#x}: {error}"),
        }
    }
    apic::start_timer(khz);
}

/// The firmware's MP services know best which CPUs are healthy; then the MADT; else everybody is called.
fn whom_to_wake(info: &BootInfo, facts: &Facts) -> Whom {
    // SAFETY: the loader's list, still in place.
    let view = |range: PhysRange| unsafe { memory::loader_bytes(range) };
    let told: Vec<u32> = info
        .apic_ids(view)
        .map(Iterator::collect)
        .unwrap_or_default();
    match (told.is_empty(), facts.apic_ids.is_empty()) {
        (false, _) => Whom::These(told),
        (true, false) => Whom::These(facts.apic_ids.clone()),
        (true, true) => Whom::Everybody,
    }
}

/// Copies what the loader left, and gives the rest of its memory back.
fn take_boot_files(info: &BootInfo) -> BootFiles {
    // SAFETY: loader memory, still in place; what outlives this function is kept below.
    let view = |range: PhysRange| unsafe { memory::loader_bytes(range) };
    let config = view(info.config).map(<[u8]>::to_vec).unwrap_or_default();
    let mut keep = Vec::new();
    let mut files = Vec::new();
    let mut file_bytes = 0;
    match info.modules(view) {
        Err(error) => log::error!("the list of files is lost: {error}"),
        Ok(modules) => {
            for module in modules {
                match module {
                    Err(error) => log::error!("a file is lost: {error}"),
                    Ok(module) => {
                        let bytes = view(module.range).unwrap_or_default();
                        log::debug!("file {} ({} bytes)", module.name, bytes.len());
                        files.push(BootFile {
                            name: module.name.into(),
                            bytes,
                        });
                        keep.push(module.range);
                        file_bytes += module.range.len_bytes.next_multiple_of(memory::PAGE_BYTES);
                    }
                }
            }
        }
    }
    if let Ok(segments) = info.image_segments(view) {
        keep.extend(segments.flatten().map(|segment| segment.range));
    }
    memory::modules_kept(file_bytes);
    let is_default_config = info.config_origin() == ConfigOrigin::BuiltIn;
    // SAFETY:
    // 1. All CPUs run on our tables and stacks.
    // 2. The image and the files are kept; configuration and names were copied; `info` is a copy.
    unsafe { memory::reclaim_loader(&keep) };
    BootFiles {
        config,
        is_default_config,
        files,
    }
}

/// RAM through the direct map, as far as the memory map says that it is RAM.
struct DirectMap;

impl Physical for DirectMap {
    fn bytes(&self, start: u64, len: usize) -> Option<&[u8]> {
        let end = start.checked_add(len as u64)?;
        // Firmware puts tables into memory of its own kinds, next to one another: neighbours count as one.
        let mut at = start;
        for region in memory::regions()
            .filter(|region| region.kind.is_ram() && region.kind != RegionKind::Usable)
        {
            if (region.start..region.end()).contains(&at) {
                at = region.end();
            }
        }
        if at < end {
            return None;
        }
        // SAFETY: RAM of the firmware's kinds, that nobody writes now.
        unsafe { memory::loader_bytes(PhysRange::new(start, len as u64)) }
    }
}

/// The CPU's brand string.
struct CpuName;

impl core::fmt::Display for CpuName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if !cpu::has_extended_leaf(0x8000_0004) {
            return f.write_str("a CPU without a name");
        }
        let mut name = [0; 48];
        for (chunk, leaf) in name.chunks_exact_mut(16).zip(0x8000_0002..) {
            let cpu::Cpuid { eax, ebx, ecx, edx } = cpu::cpuid(leaf);
            for (slot, register) in chunk.chunks_exact_mut(4).zip([eax, ebx, ecx, edx]) {
                slot.copy_from_slice(&register.to_le_bytes());
            }
        }
        let text = name.split(|&byte| byte == 0).next().unwrap_or_default();
        for symbol in text
            .trim_ascii()
            .iter()
            .filter(|byte| byte.is_ascii() && !byte.is_ascii_control())
        {
            f.write_char(char::from(*symbol))?;
        }
        Ok(())
    }
}

struct Apic;

impl core::fmt::Display for Apic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match apic::mode() {
            apic::Mode::XApic => "xAPIC",
            apic::Mode::X2Apic => "x2APIC",
        })
    }
}

struct Timer(u64);

impl core::fmt::Display for Timer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match apic::timer(self.0) {
            apic::Timer::TscDeadline => f.write_str("TSC-deadline timer"),
            apic::Timer::OneShot { khz } => {
                write!(f, "one-shot timer at {}.{:03} MHz", khz / 1000, khz % 1000)
            }
        }
    }
}
