//! A board of interrupt controllers and nothing else, to which tests add parts.

use crate::bell::Bell;
use crate::bus::Bus;
use crate::fabric::{Cpus, Fabric};
use crate::lifecycle::Lifecycle;
use crate::mailbox::Mailbox;
use crate::maker::{Maker, SlotMaker};
use crate::parts::interrupts;
use crate::services::Services;
use crate::vm_clock::VmClock;
use alloc::sync::Arc;
use chipset::LocalApic;
use device::{MmioDevice, PioDevice, Width};
use host::CpuId;
use std::vec;
use std::vec::Vec;
use time::Instant;
use vm_spec::After;

struct Nowhere;

impl Services for Nowhere {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(0)
    }
    fn kick(&self, _: CpuId) {}
}

/// A board for one vCPU.
pub(crate) struct TestPc {
    pub(crate) maker: Maker,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl TestPc {
    pub(crate) fn new() -> Self {
        let home = Arc::new(Bell::new(CpuId(0), &Nowhere));
        let addressing = LocalApic::new(0, true).addressing();
        let mailbox = Arc::new(Mailbox::new(home.clone(), addressing));
        let cpus = Arc::new(Cpus::new(vec![mailbox.clone()]));
        let clock = Arc::new(VmClock::default());
        let lifecycle = Lifecycle::new(cpus.clone(), clock.clone(), After::Stop, After::Stop);
        let mut slots = SlotMaker {
            services: &Nowhere,
            home,
            clock,
            slots: Vec::new(),
        };
        let fabric = interrupts::make(&mut slots, cpus);
        let maker = Maker {
            slots,
            bus: Arc::new(Bus::new()),
            fabric,
            lifecycle: Arc::new(lifecycle),
        };
        Self { maker, mailbox }
    }

    pub(crate) fn fabric(&self) -> &Arc<Fabric> {
        &self.maker.fabric
    }

    /// Lets IOAPIC pin `pin` send `vector` to vCPU 0, level-triggered; or masks it.
    pub(crate) fn route(&self, pin: u8, vector: Option<u8>) {
        let entry = vector.map_or(1 << 16, |vector| u32::from(vector) | 1 << 15);
        let index = 0x10 + 2 * u64::from(pin);
        self.fabric().ioapic.with(|ioapic| {
            for (at, value) in [(0, index), (0x10, entry.into())] {
                let written = MmioDevice::write(ioapic, at, Width::Dword, value);
                written.expect("a register");
            }
        });
    }

    /// Takes the vectors that wait for vCPU 0.
    pub(crate) fn delivered(&self) -> Vec<u8> {
        let mut vectors = Vec::new();
        self.mailbox.take();
        self.mailbox
            .take_interrupts(|vector, _| vectors.push(vector.0));
        vectors
    }

    /// Initializes the PIC pair with vectors from 0x20 on; `is_auto` ends interrupts by themselves.
    /// All inputs of the second one are level-triggered, and none is masked.
    pub(crate) fn init_pic(&self, is_auto: bool) {
        let icw4 = 1 | u32::from(is_auto) << 1;
        let writes = [
            (0x20, 0x11),
            (0x21, 0x20),
            (0x21, 4),
            (0x21, icw4),
            (0xa0, 0x11),
            (0xa1, 0x28),
            (0xa1, 2),
            (0xa1, icw4),
            (0x4d1, 0xde),
            (0x21, 0),
            (0xa1, 0),
        ];
        for (port, value) in writes {
            self.pic(port, value);
        }
    }

    pub(crate) fn pic(&self, port: u16, value: u32) {
        let write = |pic: &mut chipset::PicPair| PioDevice::write(pic, port, Width::Byte, value);
        self.fabric().pic.with(write).expect("a register");
    }

    /// Takes the vector that the PIC pair has for vCPU 0, if it has one.
    pub(crate) fn acknowledge(&self) -> Option<u8> {
        let is_high = self.mailbox.ext_int();
        is_high.then(|| self.fabric().acknowledge_pic().0)
    }

    /// Ends an interrupt of the second PIC.
    pub(crate) fn end_of_interrupt(&self) {
        self.pic(0xa0, 0x20);
        self.pic(0x20, 0x20);
    }
}
