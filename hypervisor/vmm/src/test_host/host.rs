//! A machine made of plain memory: runs the VMM on a PC.

use addr::{Gpa, GpaRange, Hpa};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use guest_memory::{GuestMemory, TestRam, Unbacked};
use host::{
    Backing, CpuId, Host, HostVector, InterruptHandler, Interrupts, MemoryReport, NoMemory,
    NoVector, NotedName, Permissions, PowerAction, Slat, Terminal, Terminals, VcpuPlan,
};
use spin::Mutex;
use std::thread_local;
use time::Clock;
use time::Instant;
use vcpu::TestVcpu;
use x86::{CpuidResult, Vector};

/// Family, model and stepping of its CPUs.
pub const SIGNATURE: u32 = 0x0003_06c3;
/// Size of the machine's memory.
const MEMORY_BYTES: u64 = 64 << 20;
/// Vectors for devices.
const DEVICE_VECTORS: core::ops::Range<u8> = 0x30..0x34;

/// A machine whose clock moves when a test says so. Its CPUs are one thread that is now here, now there: see [`CPU`].
pub struct TestHost {
    now_ns: AtomicU64,
    next_run_ns: AtomicU64,
    clock: Clock,
    kicks: Vec<AtomicU32>,
    /// By vector.
    handlers: Mutex<BTreeMap<u8, &'static dyn InterruptHandler>>,
    raised: Mutex<Vec<Vector>>,
    /// Number of times a CPU went idle.
    pub idles: AtomicU32,
    /// Number of bytes that the serial port takes until the test sets another.
    pub takes: AtomicUsize,
    /// Bytes that reached its serial port.
    pub printed: Mutex<Vec<u8>>,
    /// Bytes that wait to be read from it.
    pub typed: Mutex<Vec<u8>>,
    /// Bytes that reached its screen.
    pub screen_printed: Mutex<Vec<u8>>,
    /// Bytes that wait to be read from the screen's keyboard.
    pub screen_typed: Mutex<Vec<u8>>,
    /// The screen's status line.
    pub status: Mutex<String>,
    /// Each vCPU and each VM's RAM holds one of these.
    vcpus: Arc<()>,
    ram_bytes: Arc<AtomicU64>,
}

impl TestHost {
    /// A machine with so many CPUs.
    pub fn new(cpus: u32) -> Self {
        Self {
            now_ns: AtomicU64::new(1_000),
            next_run_ns: AtomicU64::new(0),
            clock: Clock::new(1_000_000, 0),
            kicks: (0..cpus).map(|_| AtomicU32::new(0)).collect(),
            handlers: Mutex::default(),
            raised: Mutex::default(),
            idles: AtomicU32::new(0),
            takes: AtomicUsize::new(usize::MAX),
            printed: Mutex::new(Vec::new()),
            typed: Mutex::new(Vec::new()),
            screen_printed: Mutex::new(Vec::new()),
            screen_typed: Mutex::new(Vec::new()),
            status: Mutex::new(String::new()),
            vcpus: Arc::default(),
            ram_bytes: Arc::default(),
        }
    }

    /// Lets time pass when a vCPU runs next, or a CPU idles.
    pub fn pass_in_guest_ns(&self, ns: u64) {
        self.next_run_ns.store(ns, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn pass_ns(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Returns the number of vCPUs.
    pub fn vcpus(&self) -> usize {
        Arc::strong_count(&self.vcpus) - 1
    }

    /// Returns the size of guest RAM.
    pub fn ram_bytes(&self) -> u64 {
        self.ram_bytes.load(Ordering::Relaxed)
    }

    /// Takes what was printed.
    pub fn text(&self) -> String {
        let bytes = core::mem::take(&mut *self.printed.lock());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Types.
    pub fn type_text(&self, text: &str) {
        self.typed.lock().extend(text.bytes());
    }

    /// Takes what was printed on the screen.
    pub fn screen_text(&self) -> String {
        let bytes = core::mem::take(&mut *self.screen_printed.lock());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Types at the screen's keyboard.
    pub fn type_at_screen(&self, text: &str) {
        self.screen_typed.lock().extend(text.bytes());
    }

    /// Takes the kicks that wait for a CPU.
    pub fn take_kicks(&self, cpu: u32) -> u32 {
        self.kicks[cpu as usize].swap(0, Ordering::SeqCst)
    }

    /// Lets a device interrupt; the next CPU that looks takes it.
    pub fn raise(&self, vector: Vector) {
        self.raised.lock().push(vector);
    }
}

/// RAM with its ranges.
pub struct Ram {
    bytes: TestRam,
    ranges: Vec<GpaRange>,
    total_bytes: Arc<AtomicU64>,
}

impl Ram {
    fn len_bytes(&self) -> u64 {
        self.ranges.iter().map(GpaRange::len_bytes).sum()
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        let bytes = self.len_bytes();
        self.total_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl GuestMemory for Ram {
    fn read(&self, at: Gpa, into: &mut [u8]) -> Result<(), Unbacked> {
        self.bytes.read(at, into)
    }
    fn write(&self, at: Gpa, from: &[u8]) -> Result<(), Unbacked> {
        self.bytes.write(at, from)
    }
    fn load_u16(&self, at: Gpa, order: Ordering) -> Result<u16, Unbacked> {
        self.bytes.load_u16(at, order)
    }
    fn store_u16(&self, at: Gpa, value: u16, order: Ordering) -> Result<(), Unbacked> {
        self.bytes.store_u16(at, value, order)
    }
    fn load_u64(&self, at: Gpa) -> Result<u64, Unbacked> {
        self.bytes.load_u64(at)
    }
    fn compare_exchange_u64(&self, at: Gpa, current: u64, new: u64) -> Result<bool, Unbacked> {
        self.bytes.compare_exchange_u64(at, current, new)
    }
    fn fill(&self, at: Gpa, len_bytes: u64, byte: u8) -> Result<(), Unbacked> {
        self.bytes.fill(at, len_bytes, byte)
    }
}

impl Backing for Ram {
    fn for_each_piece(&self, each: &mut dyn FnMut(GpaRange, Hpa)) {
        for range in &self.ranges {
            each(*range, Hpa::new(range.start().raw()));
        }
    }
}

/// Tables that forget what they map.
pub struct NoSlat;

impl Slat for NoSlat {
    fn map(&mut self, _: GpaRange, _: Hpa, _: Permissions) -> Result<(), NoMemory> {
        Ok(())
    }
    fn table_bytes(&self) -> u64 {
        0
    }
}

/// RAM in which its last owner has left something everywhere.
fn leftovers(bytes: u64) -> TestRam {
    let ram = TestRam::new(bytes as usize);
    ram.fill(Gpa::new(0), bytes, LEFTOVER)
        .expect("it has so many bytes");
    ram
}

/// Byte that the last owner of some RAM left in it.
pub const LEFTOVER: u8 = 0xee;

thread_local! {
    /// Which CPU runs.
    pub static CPU: Cell<u32> = const { Cell::new(0) };
    /// The alarm that was last set.
    pub static ALARM: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Interrupts for TestHost {
    fn allocate_vector(&self, handler: &'static dyn InterruptHandler) -> Result<Vector, NoVector> {
        let mut handlers = self.handlers.lock();
        let free = DEVICE_VECTORS
            .clone()
            .find(|vector| !handlers.contains_key(vector));
        let vector = free.ok_or(NoVector)?;
        handlers.insert(vector, handler);
        Ok(Vector(vector))
    }
    fn free_vector(&self, vector: Vector) {
        self.handlers.lock().remove(&vector.0);
    }
}

impl Host for TestHost {
    type Cpu = ();
    type Vcpu = TestVcpu;
    type Ram = Ram;
    type Slat = NoSlat;

    fn now(&self) -> Instant {
        Instant::from_ns(self.now_ns.load(Ordering::Relaxed))
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn wall_clock_at_start(&self) -> u64 {
        1_767_225_600
    }
    fn cpu_id(&self, (): &()) -> CpuId {
        CpuId(CPU.get())
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(CPU.get())
    }
    fn cpu_count(&self) -> u32 {
        self.kicks.len() as u32
    }
    fn set_alarm(&self, (): &mut (), at: Option<Instant>) {
        ALARM.set(at);
    }
    fn next_interrupt(&self, (): &mut ()) -> Option<HostVector> {
        // Neither lock is held while the handler runs: it may raise another one.
        let raised = self.raised.lock().pop();
        if let Some(vector) = raised {
            let handler = self.handlers.lock().get(&vector.0).copied();
            if let Some(handler) = handler {
                handler.interrupt();
            }
            return Some(HostVector::Device(vector));
        }
        (self.take_kicks(CPU.get()) != 0).then_some(HostVector::Kick)
    }
    fn idle(&self, (): &mut ()) {
        self.idles.fetch_add(1, Ordering::Relaxed);
        self.pass_ns(self.next_run_ns.swap(0, Ordering::Relaxed));
    }
    fn kick(&self, target: CpuId) {
        self.kicks[target.0 as usize].fetch_add(1, Ordering::SeqCst);
    }
    fn allocate_ram(&self, ranges: &[GpaRange]) -> Result<Ram, NoMemory> {
        let end = ranges.iter().map(GpaRange::end).max().ok_or(NoMemory)?;
        if end.raw() > MEMORY_BYTES {
            return Err(NoMemory);
        }
        let ram = Ram {
            bytes: leftovers(end.raw()),
            ranges: ranges.to_vec(),
            total_bytes: self.ram_bytes.clone(),
        };
        self.ram_bytes.fetch_add(ram.len_bytes(), Ordering::Relaxed);
        Ok(ram)
    }
    fn new_slat(&self) -> Result<NoSlat, NoMemory> {
        Ok(NoSlat)
    }
    fn new_vcpu(&self, (): &mut (), _: &VcpuPlan<'_, NoSlat>) -> Result<TestVcpu, NoMemory> {
        Ok(TestVcpu {
            witness: Some(self.vcpus.clone()),
            ..TestVcpu::default()
        })
    }
    fn cpuid(&self, leaf: u32, _: u32) -> CpuidResult {
        let (eax, edx) = match leaf {
            0 => (0x16, 0),
            // FPU, PSE, TSC, MSR, PAE, CX8, APIC, MTRR, PGE, CMOV, PAT, FXSR, SSE, SSE2.
            1 => (SIGNATURE, 0x0701_b379),
            0x8000_0000 => (0x8000_0008, 0),
            // SYSCALL, NX, long mode.
            0x8000_0001 => (0, 0x2010_0800),
            0x8000_0008 => (0x3028, 0),
            _ => (0, 0),
        };
        CpuidResult {
            eax,
            edx,
            ..CpuidResult::default()
        }
    }
    fn log_tail(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "the tail of the log")
    }
    fn memory(&self) -> MemoryReport {
        MemoryReport {
            total: MEMORY_BYTES,
            free: MEMORY_BYTES,
            ..MemoryReport::default()
        }
    }
    fn note(&self, (): &mut (), _: &NotedName) {
        self.pass_ns(self.next_run_ns.swap(0, Ordering::Relaxed));
    }
    fn power(&self, action: PowerAction) -> ! {
        panic!("machine ends: {action:?}")
    }
}

impl Terminals for TestHost {
    fn terminals(&self) -> &[Terminal] {
        &[Terminal::Serial, Terminal::Screen]
    }
    fn terminal_write(&self, terminal: Terminal, bytes: &[u8]) -> usize {
        if terminal == Terminal::Screen {
            self.screen_printed.lock().extend(bytes);
            return bytes.len();
        }
        let mut takes = self.takes.load(Ordering::Relaxed);
        let taken = bytes.len().min(takes);
        if takes != usize::MAX {
            takes -= taken;
            self.takes.store(takes, Ordering::Relaxed);
        }
        self.printed.lock().extend(&bytes[..taken]);
        taken
    }
    fn terminal_read(&self, terminal: Terminal) -> Option<u8> {
        let mut typed = match terminal {
            Terminal::Serial => self.typed.lock(),
            Terminal::Screen => self.screen_typed.lock(),
        };
        if typed.is_empty() {
            None
        } else {
            Some(typed.remove(0))
        }
    }
    fn terminal_status(&self, terminal: Terminal, text: &str) {
        if terminal == Terminal::Screen {
            *self.status.lock() = text.into();
        }
    }
    fn terminal_draw(&self, _: Terminal) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
