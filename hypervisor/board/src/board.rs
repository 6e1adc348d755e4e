//! The PC as one readable list of its parts.

use crate::bell::Bell;
use crate::bus::{Bus, Overlap};
use crate::empty_ports::EmptyPorts;
use crate::ends::FarEnds;
use crate::fabric::{Cpus, Fabric};
use crate::lifecycle::Lifecycle;
use crate::maker::{Maker, SlotMaker};
use crate::parts::hpet::LegacyReplacement;
use crate::parts::keyboard::Keyboard;
use crate::parts::power::PowerButton;
use crate::parts::uart::SerialPort;
use crate::parts::vga::VgaSlot;
use crate::parts::{
    debug_port, exit_port, fw_cfg, hpet, interrupts, keyboard, pci, pit, power, pvpanic, reset,
    rtc, test_device, uart, vga,
};
use crate::services::Services;
use crate::slot::AnySlot;
use crate::vm_clock::VmClock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use guest_boot::MemoryLayout;
use guest_memory::GuestMemory;
use pc_map::{lines, ports};
use vm_spec::VmSpec;

/// Configuration of a board.
pub struct BoardConfig<'a, R> {
    /// The machine's time and the way to its CPUs.
    pub services: &'static dyn Services,
    /// Seconds since 1970 when the machine's time was zero.
    pub wall_clock: u64,
    /// The VM's specification.
    pub spec: &'a VmSpec,
    /// Where its memory lies.
    pub layout: &'a MemoryLayout,
    /// Its kernel's file.
    pub kernel: &'static [u8],
    /// Its initial RAM disk.
    pub initrd: Option<&'static [u8]>,
    /// Its RAM.
    pub ram: &'a Arc<R>,
    /// Its vCPUs, as targets of messages.
    pub cpus: Arc<Cpus>,
    /// The loop that advances its devices.
    pub home: Arc<Bell>,
    /// Where its cables lead.
    pub far_ends: FarEnds,
}

/// All devices of a VM on their buses, and what its vCPUs and its operator need of them.
pub struct Board {
    bus: Arc<Bus>,
    empty_ports: EmptyPorts,
    slots: Vec<Arc<dyn AnySlot>>,
    fabric: Arc<Fabric>,
    lifecycle: Arc<Lifecycle>,
    clock: Arc<VmClock>,
    home: Arc<Bell>,
    serial: SerialPort,
    screen: Arc<VgaSlot>,
    keyboard: Keyboard,
    power_button: PowerButton,
    far_ends: FarEnds,
}

impl Board {
    /// Puts the PC together.
    ///
    /// # Errors
    /// [`Overlap`] when two parts want the same place: our bug.
    pub fn new<R: GuestMemory + 'static>(config: &BoardConfig<'_, R>) -> Result<Self, Overlap> {
        let BoardConfig { spec, layout, .. } = *config;
        let clock = Arc::new(VmClock::default());
        let lifecycle = Arc::new(Lifecycle::new(
            config.cpus.clone(),
            clock.clone(),
            spec.on_reboot,
            spec.on_crash,
        ));
        let mut slots = SlotMaker {
            services: config.services,
            home: config.home.clone(),
            clock: clock.clone(),
            slots: Vec::new(),
        };
        let fabric = interrupts::make(&mut slots, config.cpus.clone());
        let mut pc = Maker {
            slots,
            bus: Arc::new(Bus::new()),
            fabric,
            lifecycle,
        };
        let replaced = LegacyReplacement::default();

        interrupts::install(&mut pc)?;
        pit::install(&mut pc, &replaced)?;
        let serial = uart::install(
            &mut pc,
            "com1",
            ports::COM1,
            lines::COM1,
            Some(config.far_ends.com1.clone()),
        )?;
        uart::install(&mut pc, "com2", ports::COM2, lines::COM2, None)?;
        rtc::install(&mut pc, config.wall_clock, layout, &replaced)?;
        let keyboard = keyboard::install(&mut pc)?;
        let screen = vga::install(&mut pc)?;
        reset::install(&mut pc)?;
        let power_button = power::install(&mut pc)?;
        hpet::install(&mut pc, &replaced)?;
        let functions = if spec.has_test_devices {
            test_device::make(&mut pc)
        } else {
            Vec::new()
        };
        pci::install(&mut pc, functions)?;
        pvpanic::install(&mut pc, config.far_ends.events.clone())?;
        fw_cfg::install(&mut pc, config)?;
        debug_port::install(&mut pc, config.far_ends.debug_text.clone())?;
        if spec.exit_port {
            exit_port::install(&mut pc)?;
        }

        let Maker {
            slots,
            bus,
            fabric,
            lifecycle,
        } = pc;
        bus.seal();
        Ok(Self {
            bus,
            empty_ports: EmptyPorts::default(),
            slots: slots.slots,
            fabric,
            lifecycle,
            clock,
            home: config.home.clone(),
            serial,
            screen,
            keyboard,
            power_button,
            far_ends: config.far_ends.clone(),
        })
    }

    /// The buses.
    #[must_use]
    #[inline]
    pub fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// Carries out what devices want to be changed of the buses, while no vCPU runs: after they were
    /// reset or restored. A vCPU's exits do so by themselves.
    pub fn settle(&self) {
        self.bus.commit(self.fabric.cpus().mailboxes(), None, || ());
    }

    /// Ports where there is no device.
    #[must_use]
    #[inline]
    pub fn empty_ports(&self) -> &EmptyPorts {
        &self.empty_ports
    }

    /// All slots, in the order in which they were made: the interrupt controllers come first.
    #[must_use]
    pub fn slots(&self) -> &[Arc<dyn AnySlot>] {
        &self.slots
    }

    /// The interrupt controllers and the vCPUs behind them.
    #[must_use]
    #[inline]
    pub fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// The VM's life.
    #[must_use]
    #[inline]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The VM's time.
    #[must_use]
    #[inline]
    pub fn clock(&self) -> &VmClock {
        &self.clock
    }

    /// The loop that advances the devices.
    #[must_use]
    pub fn home(&self) -> &Bell {
        &self.home
    }

    /// The operator's end of the first serial port.
    #[must_use]
    pub fn serial(&self) -> &SerialPort {
        &self.serial
    }

    /// The VGA adapter.
    #[must_use]
    pub fn screen(&self) -> &VgaSlot {
        &self.screen
    }

    /// The operator's end of the keyboard.
    #[must_use]
    pub fn keyboard(&self) -> &Keyboard {
        &self.keyboard
    }

    /// The power button.
    #[must_use]
    pub fn power_button(&self) -> &PowerButton {
        &self.power_button
    }

    /// The guest has ended: ends the lines that it left open, so that the next one's begin at their
    /// start.
    pub fn end_lines(&self) {
        self.far_ends.debug_text.end();
        self.far_ends.com1.end();
        self.far_ends.events.end();
    }

    /// Drops what was typed: a new guest comes, for which it is not.
    pub fn forget_typed(&self) {
        self.serial.forget_typed();
        self.keyboard.forget_typed();
    }
}
