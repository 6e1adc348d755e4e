//! Two PCI functions for tests of the hypervisor itself: each a page of registers behind BAR 0, the
//! first of them behind BAR 1 as well, and an interrupt pin. Both pins lead to one line.

use crate::line::IntxLine;
use crate::maker::Maker;
use crate::parts::pci::FunctionPlan;
use crate::slot::Harness;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use chipset::{TEST_DEVICE_BYTES, TEST_DEVICE_PORTS, TestDevice};
use device::Device;
use pci::{BarKind, Bdf, Function, Identity};

/// Red Hat's number for devices of test beds.
const VENDOR: u16 = 0x1b36;
const DEVICE: u16 = 0x0005;
/// Unassigned class.
const CLASS: u32 = 0x00_ff_00;
/// Number of each function's device on bus 0 and of its pin, so that both lead to GSI 19.
const PLACES: [(u8, u8); 2] = [(3, 0), (4, 3)];
const NAMES: [&str; 2] = ["test0", "test1"];

struct TestHarness {
    intx: Arc<IntxLine>,
}

impl Harness<TestDevice> for TestHarness {
    fn after(&self, device: &mut TestDevice) {
        self.intx.set(device.line());
    }

    fn lines(&self) -> Vec<u8> {
        vec![self.intx.gsi()]
    }
}

/// Makes both functions.
pub(crate) fn make(pc: &mut Maker) -> Vec<FunctionPlan> {
    let places = NAMES.into_iter().zip(PLACES);
    let plans = places.map(|(name, (device, pin))| {
        let intx = Arc::new(IntxLine::new(&pc.fabric, device, pin));
        let harness = TestHarness { intx: intx.clone() };
        let slot = pc.slot(name, TestDevice::default(), harness);
        let identity = Identity {
            vendor: VENDOR,
            device: DEVICE,
            class: CLASS,
            revision: 0,
            subsystem: (VENDOR, DEVICE),
            is_multifunction: false,
        };
        FunctionPlan {
            at: Bdf::new(0, device, 0),
            function: Function::new(identity)
                .with_bar(0, BarKind::Memory32, TEST_DEVICE_BYTES)
                .with_bar(1, BarKind::Io, TEST_DEVICE_PORTS.into())
                .with_interrupt(pin + 1, 0xff),
            bars: vec![
                (0, pc.memory_region(slot.clone())),
                (1, pc.port_region(slot)),
            ],
            intx: Some(intx),
        }
    });
    plans.collect()
}
