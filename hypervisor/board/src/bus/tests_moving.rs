//! Regions that move while vCPUs run.

use super::tests::{bus_with_probe, commit, range};
use super::*;
use crate::bell::Bell;
use crate::mailbox::{Mail, Mailbox};
use crate::services::Services;
use addr::Gpa;
use alloc::sync::Arc;
use chipset::LocalApic;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use host::CpuId;
use time::Instant;

struct Nowhere;

impl Services for Nowhere {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(u32::MAX)
    }
    fn kick(&self, _: CpuId) {}
}

/// A vCPU that does nothing but exits: between two of them it reads its mail, as the real one does.
fn vcpu(bus: &Bus, mailbox: &Mailbox, places: &[AtomicU64], is_over: &AtomicBool) -> (u64, u64) {
    let (mut hits, mut misses, mut turns) = (0, 0, 0u32);
    while !is_over.load(Ordering::Relaxed) {
        mailbox.set_running(true);
        let renew = || {
            let generation = bus.generation();
            let table = bus.table();
            mailbox.note_table(generation);
            table
        };
        let mut table = renew();
        for _ in 0..50 {
            if mailbox.has_mail() && mailbox.take().mail.contains(Mail::TABLE) {
                table = renew();
            }
            turns = turns.wrapping_add(1);
            let place = turns as usize % places.len();
            let at = places[place].load(Ordering::Relaxed);
            match table.mmio.read(Gpa::new(at + 0x40), Width::Dword) {
                0x40 => hits += 1,
                0xffff_ffff => misses += 1,
                offset => panic!("offset {offset:#x}"),
            }
        }
        mailbox.set_running(false);
    }
    (hits, misses)
}

/// A machine whose kicks are seen by the vCPU that runs the guest.
#[derive(Default)]
struct Kicks(AtomicBool);

impl Services for Kicks {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(u32::MAX)
    }
    fn kick(&self, _: CpuId) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Panics when what a test waits for does not come.
struct Patience(std::time::Instant);

impl Patience {
    fn new() -> Self {
        Self(std::time::Instant::now())
    }

    fn wait(&self) {
        assert!(self.0.elapsed().as_secs() < 20, "it does not come");
        std::thread::yield_now();
    }
}

fn mailboxes(services: &'static dyn Services, count: u32) -> std::vec::Vec<Arc<Mailbox>> {
    let bell = Arc::new(Bell::new(CpuId(0), services));
    let addressing = |id| LocalApic::new(id, false).addressing();
    (0..count)
        .map(|id| Arc::new(Mailbox::new(bell.clone(), addressing(id))))
        .collect()
}

/// An access that a test lets end when it likes.
#[derive(Default)]
struct Slow {
    has_begun: AtomicBool,
    may_end: AtomicBool,
}

impl MmioTarget for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn read(&self, at: u64, _: Width) -> Result<u64, Refused> {
        self.has_begun.store(true, Ordering::SeqCst);
        let patience = Patience::new();
        while !self.may_end.load(Ordering::SeqCst) {
            patience.wait();
        }
        Ok(at)
    }
    fn write(&self, _: u64, _: Width, _: u64) -> Result<(), Refused> {
        Ok(())
    }
}

#[test]
fn a_change_is_over_when_accesses_under_way_have_ended() {
    let bus = Arc::new(Bus::new());
    let slow = Arc::new(Slow::default());
    let region = bus.memory_region(slow.clone());
    region.map(range(0xc000_0000, 0x1000));
    commit(&bus);
    let mailboxes = mailboxes(&Nowhere, 2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let vcpu = scope.spawn(|| {
            let own = &mailboxes[1];
            own.set_running(true);
            own.note_table(bus.generation());
            let value = bus.table().mmio.read(Gpa::new(0xc000_0004), Width::Dword);
            assert!(
                !is_over.load(Ordering::SeqCst),
                "it ended at the old place, after the change"
            );
            own.set_running(false);
            value
        });
        let patience = Patience::new();
        while !slow.has_begun.load(Ordering::SeqCst) {
            patience.wait();
        }
        let mover = scope.spawn(|| {
            region.unmap();
            bus.commit(&mailboxes, Some(0), std::thread::yield_now);
            is_over.store(true, Ordering::SeqCst);
        });
        // Time enough for a change that waits for nobody.
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(
            !is_over.load(Ordering::SeqCst),
            "nobody waited for the access"
        );
        slow.may_end.store(true, Ordering::SeqCst);
        assert_eq!(vcpu.join().expect("no panic"), 4);
        mover.join().expect("no panic");
    });
    assert!(is_over.load(Ordering::SeqCst));
}

#[test]
fn a_vcpu_in_the_guest_is_kicked_out_and_takes_the_new_table() {
    let (bus, _, region) = bus_with_probe();
    let kicks: &'static Kicks = std::boxed::Box::leak(std::boxed::Box::default());
    let mailboxes = mailboxes(kicks, 2);
    let is_in_guest = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let own = &mailboxes[1];
            own.set_running(true);
            own.note_table(bus.generation());
            is_in_guest.store(true, Ordering::SeqCst);
            // In the guest nothing but a kick is noticed.
            let patience = Patience::new();
            while !kicks.0.load(Ordering::SeqCst) {
                patience.wait();
            }
            assert!(own.take().mail.contains(Mail::TABLE));
            own.note_table(bus.generation());
            let value = bus.table().mmio.read(Gpa::new(0xc000_0004), Width::Dword);
            assert_eq!(value, 4);
            // It stays in its turn: that it runs no more is not why the change is over.
            while bus.is_pending() {
                patience.wait();
            }
            own.set_running(false);
        });
        let patience = Patience::new();
        while !is_in_guest.load(Ordering::SeqCst) {
            patience.wait();
        }
        region.map(range(0xc000_0000, 0x1000));
        bus.commit(&mailboxes, Some(0), || patience.wait());
    });
}

#[test]
fn a_vcpu_that_does_not_run_is_neither_waited_for_nor_disturbed() {
    let (bus, _, region) = bus_with_probe();
    let kicks: &'static Kicks = std::boxed::Box::leak(std::boxed::Box::default());
    let mailboxes = mailboxes(kicks, 3);
    region.map(range(0xc000_0000, 0x1000));
    bus.commit(&mailboxes, Some(0), || panic!("nobody is to be waited for"));
    assert!(!kicks.0.load(Ordering::SeqCst));
    assert!(mailboxes.iter().all(|mailbox| !mailbox.has_mail()));
}

/// Moves a region 1,000 times under three vCPUs. After each move no access may meet the old place:
/// there the mover looks, through a target of its own.
#[test]
fn a_region_that_moves_is_met_at_its_new_place_or_not_at_all() {
    const PLACES: [u64; 2] = [0xc000_0000, 0xd000_0000];
    let (bus, probe, region) = bus_with_probe();
    let mailboxes = mailboxes(&Nowhere, 4);
    let is_over = AtomicBool::new(false);
    let places = PLACES.map(AtomicU64::new);
    let counts = std::thread::scope(|scope| {
        let vcpus: std::vec::Vec<_> = mailboxes[1..]
            .iter()
            .map(|mailbox| scope.spawn(|| vcpu(&bus, mailbox, &places, &is_over)))
            .collect();
        for step in 0..1_000 {
            region.map(range(PLACES[step % 2], 0x1000));
            bus.commit(&mailboxes, Some(0), std::thread::yield_now);
            if step % 10 == 9 {
                // With the region gone nobody hits it, whatever table it had.
                region.unmap();
                bus.commit(&mailboxes, Some(0), std::thread::yield_now);
                let before = probe.hits.load(Ordering::SeqCst);
                for _ in 0..2_000 {
                    core::hint::spin_loop();
                }
                std::thread::yield_now();
                assert_eq!(probe.hits.load(Ordering::SeqCst), before, "step {step}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let counts = vcpus.into_iter().map(|vcpu| vcpu.join().expect("no panic"));
        counts.collect::<std::vec::Vec<_>>()
    });
    let hits: u64 = counts.iter().map(|(hits, _)| hits).sum();
    assert_eq!(hits, probe.hits.load(Ordering::SeqCst));
}

/// Two movers and a vCPU in between: each waits for the other's change as long as it is under way.
#[test]
fn two_that_move_regions_at_once_do_not_wait_for_each_other() {
    let (bus, _, first) = bus_with_probe();
    let second = bus.memory_region(Arc::new(super::tests::Probe::default()));
    let mailboxes = mailboxes(&Nowhere, 2);
    std::thread::scope(|scope| {
        for (id, region) in [first, second].into_iter().enumerate() {
            let (bus, mailboxes) = (&bus, &mailboxes);
            scope.spawn(move || {
                let own = &mailboxes[id];
                for step in 0..2_000u64 {
                    own.set_running(true);
                    let renew = || own.note_table(bus.generation());
                    renew();
                    let place = 0xc000_0000 + (id as u64) * 0x100_0000 + (step % 16) * 0x1000;
                    region.map(range(place, 0x1000));
                    bus.commit(mailboxes, Some(id), || {
                        renew();
                        std::thread::yield_now();
                    });
                    let table = bus.table();
                    assert_eq!(table.mmio.read(Gpa::new(place + 4), Width::Dword), 4);
                    own.set_running(false);
                }
            });
        }
    });
    assert!(!bus.is_pending());
}
