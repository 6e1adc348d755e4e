//! A part of several slots: its configuration, and one for each of two queues. They share a value of
//! atomics, and no lock.

use super::pc::TestPc;
use crate::bus::PioTarget;
use crate::maker::Maker;
use crate::slot::{Harness, Silent, Slot};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use device::{BadState, Device, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};

/// State that configuration and queues share.
#[derive(Default)]
struct Shared {
    is_ready: AtomicBool,
    generation: AtomicU32,
}

/// Port 0: bit 0 is "ready"; 0 resets the queues.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Configuration {
    status: u8,
}

impl Device for Configuration {
    fn reset(&mut self) {
        let Self { status } = self;
        *status = 0;
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("status", self.status);
    }
}

impl PioDevice for Configuration {
    fn read(&mut self, _: u16, _: Width) -> Result<u32, Refused> {
        Ok(self.status.into())
    }

    fn write(&mut self, _: u16, _: Width, value: u32) -> Result<(), Refused> {
        self.status = value as u8;
        Ok(())
    }
}

/// A queue counts what it is told of while the device is ready.
struct Queue {
    shared: Arc<Shared>,
    count: u64,
}

impl Device for Queue {
    fn reset(&mut self) {
        let Self { shared: _, count } = self;
        *count = 0;
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("count", self.count);
    }
}

impl PioDevice for Queue {
    fn read(&mut self, _: u16, _: Width) -> Result<u32, Refused> {
        Ok(self.count as u32)
    }

    fn write(&mut self, _: u16, _: Width, _: u32) -> Result<(), Refused> {
        if self.shared.is_ready.load(Ordering::Acquire) {
            self.count += 1;
        }
        Ok(())
    }
}

impl State for Configuration {}

impl Persist for Configuration {
    type State = Self;

    fn state(&self) -> Self {
        self.clone()
    }

    fn set_state(&mut self, state: Self) -> Result<(), BadState> {
        *self = state;
        Ok(())
    }
}

/// Saved state of a queue. Its sharing is wiring.
#[derive(Serialize, Deserialize)]
struct QueueState {
    count: u64,
}

impl State for QueueState {}

impl Persist for Queue {
    type State = QueueState;

    fn state(&self) -> QueueState {
        QueueState { count: self.count }
    }

    fn set_state(&mut self, state: QueueState) -> Result<(), BadState> {
        self.count = state.count;
        Ok(())
    }
}

type QueueSlot = Slot<Queue, Silent>;

/// Resets the queues when the guest resets the device: first no new work begins, then each queue is
/// locked, in their order. A queue never locks the configuration.
struct ConfigurationHarness {
    shared: Arc<Shared>,
    queues: [Arc<QueueSlot>; 2],
}

impl Harness<Configuration> for ConfigurationHarness {
    fn after(&self, device: &mut Configuration) {
        let is_ready = device.status & 1 != 0;
        let was_ready = self.shared.is_ready.swap(is_ready, Ordering::AcqRel);
        if was_ready && !is_ready {
            for queue in &self.queues {
                queue.with(Device::reset);
            }
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
    }
}

struct TwoQueues {
    configuration: Arc<Slot<Configuration, ConfigurationHarness>>,
    queues: [Arc<QueueSlot>; 2],
    shared: Arc<Shared>,
}

fn install(pc: &mut Maker) -> TwoQueues {
    let shared = Arc::new(Shared::default());
    let queues = ["queue0", "queue1"].map(|name| {
        let queue = Queue {
            shared: shared.clone(),
            count: 0,
        };
        pc.slot(name, queue, Silent)
    });
    let harness = ConfigurationHarness {
        shared: shared.clone(),
        queues: queues.clone(),
    };
    let configuration = pc.slot("queues", Configuration::default(), harness);
    TwoQueues {
        configuration,
        queues,
        shared,
    }
}

fn tell(target: &dyn PioTarget, value: u32) {
    target.write(0, Width::Byte, value).expect("a register");
}

#[test]
fn queues_share_no_lock() {
    const TIMES: u64 = 20_000;
    let mut pc = TestPc::new();
    let device = install(&mut pc.maker);
    tell(&*device.configuration, 1);
    std::thread::scope(|scope| {
        for queue in &device.queues {
            scope.spawn(|| (0..TIMES).for_each(|_| tell(&**queue, 0)));
        }
    });
    for queue in &device.queues {
        assert_eq!(queue.with(|queue| queue.count), TIMES);
        assert_eq!(queue.contended(), 0);
    }
    assert_eq!(device.configuration.contended(), 0);
}

#[test]
fn two_vcpus_on_one_queue_do_share_its_lock() {
    let mut pc = TestPc::new();
    let device = install(&mut pc.maker);
    let queue = &device.queues[0];
    let is_locked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            queue.with(|_| {
                is_locked.store(1, Ordering::SeqCst);
                while queue.contended() == 0 {
                    std::thread::yield_now();
                }
            });
        });
        scope.spawn(|| {
            while is_locked.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            tell(&**queue, 0);
        });
    });
    assert_eq!(queue.contended(), 1);
}

#[test]
fn a_reset_stops_new_work_and_empties_every_queue() {
    let mut pc = TestPc::new();
    let device = install(&mut pc.maker);
    tell(&*device.queues[0], 0);
    assert_eq!(device.queues[0].with(|queue| queue.count), 0, "not ready");
    tell(&*device.configuration, 1);
    for queue in &device.queues {
        tell(&**queue, 0);
    }
    tell(&*device.configuration, 0);
    for queue in &device.queues {
        assert_eq!(queue.with(|queue| queue.count), 0);
        tell(&**queue, 0);
        assert_eq!(queue.with(|queue| queue.count), 0);
    }
    assert_eq!(device.shared.generation.load(Ordering::Relaxed), 1);
}
