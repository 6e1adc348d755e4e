//! The PC as one readable list: every device, its addresses, its wires.

use crate::board::alarm::Alarm;
use crate::board::bell::Bell;
use crate::board::bus::{MmioBus, Overlap, PioBus};
use crate::board::fabric::{Cpus, Fabric, IoApicHarness, PicHarness, Wire};
use crate::board::fw_cfg;
use crate::board::harness::{
    DebugHarness, ExitHarness, FwCfgHarness, HpetHarness, LegacyReplacement, PitHarness, PmHarness,
    ResetHarness, RtcHarness, UartHarness,
};
use crate::board::lifecycle::Lifecycle;
use crate::board::seat::Seat;
use crate::board::serial_port::SerialPort;
use crate::board::services::Services;
use crate::board::slot::{AnySlot, Harness, Silent, Slot};
use crate::board::state::Persist;
use crate::board::vm_clock::VmClock;
use crate::operator::lines::LinePrinter;
use crate::operator::view::View;
use crate::vm::assemble::Site;
use crate::vm::kernel::Image;
use addr::{Gpa, GpaRange};
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::{
    CmosMemory, DebugPort, ExitPort, FwCfg, Hpet, I8042, IoApic, PicPair, Pit, PowerManagement,
    ResetControl, Rtc, Uart16550, Vga,
};
use device::Device;
use guest_acpi::wiring;
use guest_boot::MemoryLayout;
use host::Host;
use vm_spec::VmSpec;

/// Length of a page of device registers.
const REGISTERS_BYTES: u64 = 0x1000;

/// What the board is made for.
pub(crate) struct Purpose<'a, H: Host> {
    /// Number of the VM.
    pub(crate) id: usize,
    pub(crate) spec: &'a VmSpec,
    pub(crate) layout: &'a MemoryLayout,
    pub(crate) image: &'a Image,
    pub(crate) ram: &'a Arc<H::Ram>,
}

/// All devices of a VM on their buses.
pub(crate) struct Board<H: Host> {
    pub(crate) pio: PioBus,
    pub(crate) mmio: MmioBus,
    pub(crate) slots: Vec<Arc<dyn AnySlot>>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) clock: Arc<VmClock>,
    /// The loop that advances the devices.
    pub(crate) home: Arc<Bell>,
    pub(crate) uart: SerialPort<H>,
    /// What the operator sees of the VM's serial port.
    pub(crate) view: Arc<View<H>>,
    /// What comes out of the debug ports.
    pub(crate) debug_text: Arc<LinePrinter<H>>,
    pub(crate) seat: Seat,
    pm: Arc<Slot<PowerManagement, PmHarness>>,
}

impl<H: Host> Board<H> {
    /// Puts the PC together.
    pub(crate) fn new(
        site: &Site<'_, H>,
        purpose: &Purpose<'_, H>,
        cpus: Arc<Cpus>,
        home: Arc<Bell>,
    ) -> Result<Self, Overlap> {
        let Purpose {
            id,
            spec,
            layout,
            image,
            ram,
        } = *purpose;
        let clock = Arc::new(VmClock::default());
        let mut maker = Maker {
            services: site.host,
            home: home.clone(),
            clock: clock.clone(),
            slots: Vec::new(),
        };
        let lifecycle = Arc::new(Lifecycle::new(
            cpus.clone(),
            clock.clone(),
            spec.on_reboot,
            spec.on_crash,
        ));
        let pic = maker.slot("pic", PicPair::new(), PicHarness::new(cpus.clone()));
        let ioapic = maker.slot("ioapic", IoApic::new(), IoApicHarness::new(cpus.clone()));
        let fabric = Arc::new(Fabric { pic, ioapic, cpus });
        let isa = |irq: u8| Wire::new(&fabric, Some(irq), irq);
        let end = || lifecycle.clone();
        let replaced = LegacyReplacement::default();

        // IRQ 0 is at pin 2 of the IOAPIC, as the MADT says.
        let timer = Wire::new(&fabric, Some(0), wiring::PIT_GSI);
        let pit = maker.slot("pit", Pit::new(), PitHarness::new(timer, &replaced));
        let view = Arc::new(View::new(id, &spec.name, site.console));
        let com1 = UartHarness::new(isa(4), Some(view.clone()));
        let com1 = maker.slot("com1", Uart16550::new(), com1);
        let com2 = UartHarness::<H>::new(isa(3), None);
        let com2 = maker.slot("com2", Uart16550::new(), com2);
        let rtc = Rtc::new(site.host.wall_clock_at_start(), cmos_memory(layout));
        let rtc = maker.slot("rtc", rtc, RtcHarness::new(isa(8), &replaced));
        let i8042 = ResetHarness::new(end(), Some(isa(1)));
        let i8042 = maker.slot("i8042", I8042::new(), i8042);
        let vga = maker.slot("vga", Vga::new(), Silent);
        let reset = maker.slot("reset", ResetControl::new(), ResetHarness::new(end(), None));
        let sci = Wire::new(&fabric, Some(wiring::SCI_GSI), wiring::SCI_GSI);
        let pm = maker.slot(
            "pm",
            PowerManagement::new(false),
            PmHarness::new(sci, end()),
        );
        let hpet = maker.slot("hpet", Hpet::new(), HpetHarness::new(&fabric, &replaced));
        let pci = maker.slot("pci", pci::q35(wiring::PM_BASE), Silent);
        let fw_cfg = FwCfg::new(fw_cfg::items(spec, layout, image));
        let fw_cfg = maker.slot("fw_cfg", fw_cfg, FwCfgHarness::new(ram));
        let debug_text = Arc::new(LinePrinter::new(&spec.name, site.console));
        let text = DebugHarness::new(debug_text.clone());
        let debug = maker.slot("debug", DebugPort::new(), text);

        let mut pio = PioBus::default();
        // Devices with registers in several places see whole port numbers: base 0.
        for ports in [0x20..=0x21, 0xa0..=0xa1, 0x4d0..=0x4d1] {
            pio.claim(ports, 0, fabric.pic.clone())?;
        }
        pio.claim(0x40..=0x43, 0, pit.clone())?;
        pio.claim(0x61..=0x61, 0, pit)?;
        pio.claim(0x60..=0x60, 0, i8042.clone())?;
        pio.claim(0x64..=0x64, 0, i8042.clone())?;
        pio.claim(0x70..=0x71, 0x70, rtc)?;
        pio.claim(0x92..=0x92, 0, reset.clone())?;
        pio.claim(0xe9..=0xe9, 0, debug.clone())?;
        pio.claim(0x402..=0x402, 0, debug)?;
        pio.claim(0x2f8..=0x2ff, 0x2f8, com2)?;
        pio.claim(0x3f8..=0x3ff, 0x3f8, com1.clone())?;
        for ports in [
            0x3b4..=0x3b5,
            0x3ba..=0x3ba,
            0x3c0..=0x3cf,
            0x3d4..=0x3d5,
            0x3da..=0x3da,
        ] {
            pio.claim(ports, 0, vga.clone())?;
        }
        pio.claim(0x510..=0x51b, 0, fw_cfg)?;
        pio.claim(wiring::PM_PORTS, wiring::PM_BASE, pm.clone())?;
        pio.claim(0xcf8..=0xcf8, 0, pci.clone())?;
        pio.claim(0xcf9..=0xcf9, 0, reset)?;
        pio.claim(0xcfc..=0xcff, 0, pci.clone())?;
        if spec.exit_port {
            let exit = maker.slot("exit", ExitPort::new(), ExitHarness::new(end()));
            pio.claim(0xf4..=0xf7, 0, exit)?;
        }

        let mut mmio = MmioBus::default();
        mmio.claim(guest_boot::IO_APIC, fabric.ioapic.clone())?;
        mmio.claim(registers(wiring::HPET), hpet)?;
        mmio.claim(guest_boot::ECAM, pci)?;

        Ok(Self {
            pio,
            mmio,
            slots: maker.slots,
            fabric,
            lifecycle,
            clock,
            home,
            uart: SerialPort::new(com1),
            view,
            debug_text,
            seat: Seat::new(vga, i8042),
            pm,
        })
    }

    /// The guest has ended: lines that it left open end, too, so that the next one's begin at their start.
    pub(crate) fn end_lines(&self) {
        self.debug_text.end_line();
        self.view.end();
    }

    /// A new guest comes: what was typed for the one before is not for it.
    pub(crate) fn forget_typed(&self) {
        self.uart.forget_typed();
        self.seat.forget_typed();
    }

    /// Whether the guest has asked to hear of the power button.
    pub(crate) fn heeds_power_button(&self) -> bool {
        self.pm.with(|pm| pm.heeds_power_button())
    }

    /// What a person does who wants the system to shut down.
    pub(crate) fn press_power_button(&self) {
        self.pm.with(PowerManagement::press_power_button);
    }
}

fn registers(base: u32) -> GpaRange {
    GpaRange::new(Gpa::new(base.into()), REGISTERS_BYTES).expect("a page below 4 GiB does not wrap")
}

fn cmos_memory(layout: &MemoryLayout) -> CmosMemory {
    CmosMemory {
        below_4g_bytes: layout.below_hole_end().raw(),
        above_4g_bytes: layout.end().raw().saturating_sub(4 << 30),
    }
}

/// Makes slots and keeps a list of them.
struct Maker {
    services: &'static dyn Services,
    home: Arc<Bell>,
    clock: Arc<VmClock>,
    slots: Vec<Arc<dyn AnySlot>>,
}

impl Maker {
    fn slot<D, W>(&mut self, name: &'static str, device: D, harness: W) -> Arc<Slot<D, W>>
    where
        D: Device + Persist + 'static,
        W: Harness<D> + 'static,
    {
        let alarm = Alarm::new(self.services, self.clock.clone(), self.home.clone());
        let slot = Arc::new(Slot::new(name, device, harness, alarm));
        self.slots.push(slot.clone());
        slot
    }
}
