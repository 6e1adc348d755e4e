//! What each device's harness carries outward.

use crate::board::fabric::{Fabric, Wire};
use crate::board::lifecycle::{Lifecycle, StopReason};
use crate::board::slot::Harness;
use crate::operator::lines::LinePrinter;
use crate::operator::view::View;
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::fw_cfg::{DESCRIPTOR_BYTES, PieceContent};
use chipset::{
    DebugPort, ExitPort, FwCfg, Hpet, HpetSignal, I8042, Pit, PowerManagement, PowerRequest,
    ResetControl, Rtc, Uart16550,
};
use core::sync::atomic::{AtomicBool, Ordering};
use device::{Device, Level};
use guest_memory::GuestMemory;
use host::Host;

/// Whether the HPET has taken the interrupts of PIT and RTC. (IA-PC HPET specification 2.3.5, LEG_RT_CNF)
#[derive(Clone, Default)]
pub(crate) struct LegacyReplacement(Arc<AtomicBool>);

impl LegacyReplacement {
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The PIT's ticks, to IRQ 0.
pub(crate) struct PitHarness {
    wire: Wire,
    replaced: LegacyReplacement,
}

impl PitHarness {
    pub(crate) fn new(wire: Wire, replaced: &LegacyReplacement) -> Self {
        Self {
            wire,
            replaced: replaced.clone(),
        }
    }
}

impl Harness<Pit> for PitHarness {
    fn after(&self, pit: &mut Pit) {
        while pit.take_pulse() {
            if !self.replaced.is_on() {
                self.wire.pulse();
            }
        }
    }

    fn gsi(&self) -> Option<u8> {
        Some(self.wire.gsi())
    }
}

/// The RTC's line, to IRQ 8.
pub(crate) struct RtcHarness {
    wire: Wire,
    replaced: LegacyReplacement,
}

impl RtcHarness {
    pub(crate) fn new(wire: Wire, replaced: &LegacyReplacement) -> Self {
        Self {
            wire,
            replaced: replaced.clone(),
        }
    }
}

impl Harness<Rtc> for RtcHarness {
    fn after(&self, rtc: &mut Rtc) {
        // A replaced line is low, not left as it was: what follows the replacement would be no edge.
        let is_high = rtc.line().is_high() && !self.replaced.is_on();
        self.wire.set(Level::when(is_high));
    }

    fn gsi(&self) -> Option<u8> {
        Some(self.wire.gsi())
    }
}

/// A UART's line, and its bytes to the console.
pub(crate) struct UartHarness<H: Host> {
    wire: Wire,
    /// None: the cable ends nowhere.
    view: Option<Arc<View<H>>>,
    /// Whether the guest is held back.
    is_held: AtomicBool,
}

impl<H: Host> UartHarness<H> {
    pub(crate) fn new(wire: Wire, view: Option<Arc<View<H>>>) -> Self {
        Self {
            wire,
            view,
            is_held: AtomicBool::new(false),
        }
    }

    /// Whether the guest waits because it has printed its share.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Lets it print on.
    pub(crate) fn let_go(&self, uart: &mut Uart16550) {
        self.is_held.store(false, Ordering::Relaxed);
        uart.set_backpressure(false);
    }
}

impl<H: Host> Harness<Uart16550> for UartHarness<H> {
    fn after(&self, uart: &mut Uart16550) {
        // Held back, bytes stay in the FIFO, where the guest sees them.
        while !self.is_held() {
            let Some(byte) = uart.take_transmitted() else {
                break;
            };
            if self.view.as_ref().is_some_and(|view| view.put(byte)) {
                uart.set_backpressure(true);
                self.is_held.store(true, Ordering::Relaxed);
            }
        }
        self.wire.set(uart.line());
    }

    fn gsi(&self) -> Option<u8> {
        Some(self.wire.gsi())
    }

    fn restored(&self, uart: &mut Uart16550) {
        // Let go when the console has room.
        self.is_held.store(uart.is_held_back(), Ordering::Relaxed);
    }
}

/// A way to reset the PC: the keyboard controller or the reset ports.
pub(crate) struct ResetHarness {
    lifecycle: Arc<Lifecycle>,
    /// The keyboard's line, for the one that has it.
    wire: Option<Wire>,
}

impl ResetHarness {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>, wire: Option<Wire>) -> Self {
        Self { lifecycle, wire }
    }
}

impl Harness<I8042> for ResetHarness {
    fn after(&self, controller: &mut I8042) {
        if let Some(wire) = &self.wire {
            wire.set(controller.line());
        }
        if controller.take_request().is_some() {
            self.lifecycle.end(StopReason::Reset("keyboard controller"));
        }
    }

    fn gsi(&self) -> Option<u8> {
        self.wire.as_ref().map(Wire::gsi)
    }
}

impl Harness<ResetControl> for ResetHarness {
    fn after(&self, ports: &mut ResetControl) {
        if ports.take_request().is_some() {
            self.lifecycle.end(StopReason::Reset("reset port"));
        }
    }
}

/// The power-management block: SCI, soft off, reset.
pub(crate) struct PmHarness {
    wire: Wire,
    lifecycle: Arc<Lifecycle>,
}

impl PmHarness {
    pub(crate) fn new(wire: Wire, lifecycle: Arc<Lifecycle>) -> Self {
        Self { wire, lifecycle }
    }
}

impl Harness<PowerManagement> for PmHarness {
    fn after(&self, pm: &mut PowerManagement) {
        self.wire.set(pm.line());
        match pm.take_request() {
            Some(PowerRequest::Off) => {
                self.lifecycle.end(StopReason::PowerOff);
            }
            Some(PowerRequest::Reset) => {
                self.lifecycle.end(StopReason::Reset("ACPI"));
            }
            None => {}
        }
    }

    fn gsi(&self) -> Option<u8> {
        Some(self.wire.gsi())
    }
}

/// The HPET's comparators, each to the pin it is routed to.
pub(crate) struct HpetHarness {
    wires: Vec<Wire>,
    replaced: LegacyReplacement,
}

impl HpetHarness {
    pub(crate) fn new(fabric: &Arc<Fabric>, replaced: &LegacyReplacement) -> Self {
        // With legacy replacement pins 2 and 8 stand for IRQ 0 and 8, which the PIC pair has as well.
        let irq = |pin| match pin {
            2 => Some(0),
            8 => Some(8),
            _ => None,
        };
        let pins = 0..chipset::IOAPIC_PINS;
        Self {
            wires: pins.map(|pin| Wire::new(fabric, irq(pin), pin)).collect(),
            replaced: replaced.clone(),
        }
    }
}

impl Harness<Hpet> for HpetHarness {
    fn after(&self, hpet: &mut Hpet) {
        self.replaced
            .0
            .store(hpet.is_legacy_replacement(), Ordering::Relaxed);
        while let Some(event) = hpet.take_event() {
            let Some(wire) = self.wires.get(usize::from(event.pin)) else {
                continue;
            };
            match event.signal {
                HpetSignal::Pulse => wire.pulse(),
                HpetSignal::Hold(level) => wire.set(level),
            }
        }
    }

    fn restored(&self, hpet: &mut Hpet) {
        hpet.report_again();
    }
}

/// Text from the debug ports, as whole lines of the VM.
pub(crate) struct DebugHarness<H: Host> {
    printer: Arc<LinePrinter<H>>,
}

impl<H: Host> DebugHarness<H> {
    pub(crate) fn new(printer: Arc<LinePrinter<H>>) -> Self {
        Self { printer }
    }
}

impl<H: Host> Harness<DebugPort> for DebugHarness<H> {
    fn after(&self, ports: &mut DebugPort) {
        while let Some(byte) = ports.take_byte() {
            self.printer.put(byte);
        }
    }
}

/// fw_cfg's copies to guest memory.
pub(crate) struct FwCfgHarness<R> {
    ram: Arc<R>,
}

impl<R: GuestMemory> FwCfgHarness<R> {
    pub(crate) fn new(ram: &Arc<R>) -> Self {
        Self { ram: ram.clone() }
    }
}

impl<R: GuestMemory> Harness<FwCfg> for FwCfgHarness<R> {
    fn after(&self, fw_cfg: &mut FwCfg) {
        if let Some(at) = fw_cfg.descriptor() {
            let mut bytes = [0; DESCRIPTOR_BYTES];
            let is_read = self.ram.read(at, &mut bytes).is_ok();
            fw_cfg.begin(is_read.then_some(bytes));
        }
        // At most the end of an item and the zeros behind it; the device says when the next piece is due.
        while let Some(piece) = fw_cfg.piece() {
            let written = match piece.content {
                PieceContent::Bytes(bytes) => self.ram.write(piece.at, bytes),
                PieceContent::Zeros(len_bytes) => self.ram.fill(piece.at, len_bytes, 0),
            };
            fw_cfg.moved(written.is_ok());
        }
        if let Some((at, control)) = fw_cfg.take_result() {
            // Where a descriptor was read, memory is. A guest cannot take it away.
            let _ = self.ram.write(at, &control);
        }
    }
}

/// The exit port: ends the VM with a code.
pub(crate) struct ExitHarness {
    lifecycle: Arc<Lifecycle>,
}

impl ExitHarness {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }
}

impl Harness<ExitPort> for ExitHarness {
    fn after(&self, port: &mut ExitPort) {
        if let Some(code) = port.take_exit() {
            self.lifecycle.end(StopReason::ExitPort(code));
        }
    }
}
