//! A machine made of plain memory: runs the VMM on a PC.

use addr::{Gpa, GpaRange, Hpa};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use device::Instant;
use guest_memory::{GuestMemory, TestRam, Unbacked};
use host::{
    Backing, Clock, CpuId, Host, HostVector, MemoryReport, NoMemory, Permissions, PowerAction,
    Slat, VcpuPlan,
};
use spin::Mutex;
use vcpu::{TestVcpu, Vcpu};
use x86::CpuidResult;

/// What the machine has.
const MEMORY_BYTES: u64 = 64 << 20;

/// A machine with one CPU whose clock moves when a test says so.
pub(crate) struct TestHost {
    now_ns: AtomicU64,
    clock: Clock,
    pub(crate) printed: Mutex<Vec<u8>>,
    pub(crate) typed: Mutex<Vec<u8>>,
}

impl TestHost {
    pub(crate) fn new() -> Self {
        Self {
            now_ns: AtomicU64::new(1_000),
            clock: Clock::new(1_000_000, 0),
            printed: Mutex::new(Vec::new()),
            typed: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn pass_ns(&self, ns: u64) {
        self.now_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock()).into_owned()
    }
}

/// RAM with its ranges.
pub(crate) struct Ram {
    bytes: TestRam,
    ranges: Vec<GpaRange>,
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
pub(crate) struct NoSlat;

impl Slat for NoSlat {
    fn map(&mut self, _: GpaRange, _: Hpa, _: Permissions) -> Result<(), NoMemory> {
        Ok(())
    }
    fn table_bytes(&self) -> u64 {
        0
    }
}

thread_local! {
    /// The alarm of the one CPU, for tests that look.
    pub(crate) static ALARM: Cell<Option<Instant>> = const { Cell::new(None) };
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
        CpuId(0)
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(0)
    }
    fn cpu_count(&self) -> u32 {
        1
    }
    fn set_alarm(&self, (): &mut (), at: Option<Instant>) {
        ALARM.set(at);
    }
    fn next_interrupt(&self, (): &mut ()) -> Option<HostVector> {
        None
    }
    fn idle(&self, (): &mut ()) {}
    fn kick(&self, _: CpuId) {}
    fn allocate_ram(&self, ranges: &[GpaRange]) -> Result<Ram, NoMemory> {
        let end = ranges.iter().map(GpaRange::end).max().ok_or(NoMemory)?;
        if end.raw() > MEMORY_BYTES {
            return Err(NoMemory);
        }
        Ok(Ram {
            bytes: TestRam::new(end.raw() as usize),
            ranges: ranges.to_vec(),
        })
    }
    fn new_slat(&self) -> Result<NoSlat, NoMemory> {
        Ok(NoSlat)
    }
    fn new_vcpu(&self, (): &mut (), _: &VcpuPlan<'_, NoSlat>) -> Result<TestVcpu, NoMemory> {
        Ok(TestVcpu::default())
    }
    fn cpuid(&self, leaf: u32, _: u32) -> CpuidResult {
        let eax = match leaf {
            0 => 0x16,
            0x8000_0000 => 0x8000_0008,
            _ => 0,
        };
        CpuidResult {
            eax,
            ..CpuidResult::default()
        }
    }
    fn console_write(&self, bytes: &[u8]) -> usize {
        self.printed.lock().extend(bytes);
        bytes.len()
    }
    fn console_read(&self) -> Option<u8> {
        let mut typed = self.typed.lock();
        if typed.is_empty() {
            None
        } else {
            Some(typed.remove(0))
        }
    }
    fn screen_write(&self, _: &[u8]) {}
    fn screen_draw(&self) -> bool {
        false
    }
    fn log_tail(&self, _: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
    fn memory(&self) -> MemoryReport {
        MemoryReport {
            total: MEMORY_BYTES,
            free: MEMORY_BYTES,
            ..MemoryReport::default()
        }
    }
    fn note(&self, (): &mut (), _: &'static str) {}
    fn power(&self, action: PowerAction) -> ! {
        panic!("machine ends: {action:?}")
    }
}

/// Lets a test see what a vCPU was given.
pub(crate) fn delivered(vcpu: &TestVcpu) -> &[vcpu::Event] {
    let _ = vcpu.rip();
    &vcpu.delivered
}
