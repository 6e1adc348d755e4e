//! Sharing of CPUs among VMs: weights, caps, which vCPU yields to which, and what disturbs others.

use crate::test_host::CPU;
use crate::test_host::{TestMachine, hlt, out, spec};
use alloc::boxed::Box;
use board::Bell;
use board::Services;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use host::CpuId;
use time::Instant;
use vcpu::{Activity, Exit, Pause};
use vm_spec::VmSpec;

const MS: u64 = 1_000_000;

fn pause() -> Exit {
    let len = vcpu::InsnLen::new(2).expect("a length");
    Exit::Pause(Pause { len })
}

impl TestMachine {
    /// Runs for `ms` milliseconds; returns the run time of each VM's first vCPU, in ms.
    fn ran<const VMS: usize>(&mut self, ms: u64) -> [u64; VMS] {
        let ran = |test_machine: &Self| {
            core::array::from_fn(|vm| test_machine.vm(vm).stats()[0].run_ns() / MS)
        };
        let before: [u64; VMS] = ran(self);
        for _ in 0..ms {
            self.run_one_turn_of(MS);
        }
        let after: [u64; VMS] = ran(self);
        core::array::from_fn(|vm| after[vm] - before[vm])
    }

    /// A turn of the first CPU in which the vCPU that runs does so for `ns`.
    fn run_one_turn_of(&mut self, ns: u64) {
        self.host.pass_in_guest_ns(ns);
        self.turn(0);
    }
}

#[test]
fn busy_vms_share_a_cpu_by_their_weights_and_new_ones_count_at_once() {
    let heavy = VmSpec {
        weight: 200,
        ..spec("heavy", 1)
    };
    let mut test_machine = TestMachine::with(1, [spec("light", 1), heavy]);
    let [light, heavy] = test_machine.ran(600);
    assert!(heavy.abs_diff(2 * light) <= 30, "{light} and {heavy}");
    test_machine.vm(0).set_weight(600);
    let [light, heavy] = test_machine.ran(800);
    assert!(light.abs_diff(3 * heavy) <= 40, "{light} and {heavy}");
}

#[test]
fn a_capped_vm_leaves_its_cpu_idle_and_ends_all_the_same() {
    let capped = VmSpec {
        cap_percent: Some(20),
        ..spec("capped", 1)
    };
    let mut test_machine = TestMachine::with(1, [capped]);
    let idle =
        |test_machine: &TestMachine| test_machine.hypervisor.idle_ns().next().expect("a CPU") / MS;
    test_machine.ran::<1>(200);
    let before = idle(&test_machine);
    let [ran] = test_machine.ran(1_000);
    assert!(ran.abs_diff(200) <= 20, "{ran}");
    let idled = idle(&test_machine) - before;
    assert!(idled.abs_diff(800) <= 20, "{idled}");
    // Held or not, it obeys.
    test_machine.vm(0).set_cap(Some(1));
    test_machine.ran::<1>(10);
    assert!(test_machine.vm(0).kill());
    test_machine.turns();
    test_machine.turns();
    assert_eq!(test_machine.state(0), board::VmState::Stopped);
}

#[test]
fn an_order_at_the_end_of_a_turn_does_not_wait_for_the_next() {
    let capped = VmSpec {
        cap_percent: Some(1),
        ..spec("capped", 1)
    };
    let mut test_machine = TestMachine::with(1, [capped]);
    test_machine.turn(0);
    test_machine.vm(0).set_cap(Some(1));
    // Its debt will be half a minute, and the last exit before the clock is looked at ends the VM.
    let exits = &mut test_machine.vcpu(0, 0).backend.exits;
    exits.clear();
    exits.extend((1..64).map(|_| out(0x80, 0)).chain([out(0xf4, 0)]));
    test_machine.run_one_turn_of(300 * MS);
    assert_eq!(test_machine.state(0), board::VmState::Halting);
    test_machine.turn(0);
    assert_eq!(test_machine.state(0), board::VmState::Stopped);
}

#[test]
fn pause_exits_are_wanted_only_while_another_one_waits() {
    let mut test_machine = TestMachine::with(1, [spec("a", 1), spec("b", 1)]);
    test_machine.ran::<2>(20);
    assert!(test_machine.vcpu(0, 0).backend.pause_exits);
    test_machine.run_on(1, 0, [hlt()]);
    assert_eq!(test_machine.vcpu(1, 0).activity, Activity::Halted);
    test_machine.ran::<2>(20);
    assert!(!test_machine.vcpu(0, 0).backend.pause_exits);
}

#[test]
fn one_that_spins_makes_way_for_its_sibling_and_not_for_another_vm() {
    let mut test_machine = TestMachine::with(1, [spec("smp", 2), spec("busy", 1)]);
    test_machine.start_second();
    test_machine.ran::<2>(50);
    // The first vCPU spins whenever it runs; no other one does.
    let before = [(0, 0), (0, 1), (1, 0)].map(|(vm, id)| test_machine.vm(vm).stats()[id].run_ns());
    for _ in 0..3_000 {
        let exits = &mut test_machine.vcpu(0, 0).backend.exits;
        exits.clear();
        exits.push_back(pause());
        test_machine.run_one_turn_of(MS / 10);
        test_machine.vcpu(0, 0).backend.exits.clear();
    }
    let after = [(0, 0), (0, 1), (1, 0)].map(|(vm, id)| test_machine.vm(vm).stats()[id].run_ns());
    let [spins, sibling, other] = [0, 1, 2].map(|one| after[one] - before[one]);
    assert!(sibling > 3 * spins, "{spins} {sibling} {other}");
    assert!(
        other.abs_diff(100 * MS) <= 10 * MS,
        "{spins} {sibling} {other}"
    );
}

#[test]
fn alone_with_other_vms_one_that_spins_goes_on_for_a_while() {
    let mut test_machine = TestMachine::with(1, [spec("spins", 1), spec("busy", 1)]);
    test_machine.ran::<2>(20);
    test_machine.run_on(0, 0, core::iter::repeat_with(pause).take(15));
    assert_eq!(test_machine.vcpu(0, 0).spins, 15);
    let entries = test_machine.vcpu(0, 0).backend.entries;
    test_machine.run_on(0, 0, [pause()]);
    assert_eq!(test_machine.vcpu(0, 0).spins, 0);
    assert!(test_machine.vcpu(0, 0).backend.entries > entries);
}

#[test]
fn a_wake_up_interrupts_who_computes() {
    let mut test_machine = TestMachine::with(1, [spec("echo", 1), spec("busy", 1)]);
    test_machine.run_on(0, 0, [hlt()]);
    test_machine.ran::<2>(100);
    let before = test_machine.vcpu(0, 0).backend.entries;
    test_machine.vm(0).cpus().mailboxes()[0].send(board::Mail::KICK);
    // One turn to hear the bell.
    test_machine.turn(0);
    test_machine.turn(0);
    assert!(test_machine.vcpu(0, 0).backend.entries > before);
}

#[test]
fn a_timer_that_is_moved_all_the_time_takes_up_no_other_cpu() {
    let mut test_machine = TestMachine::with(2, [spec("smp", 2)]);
    test_machine.start_second();
    test_machine.host.take_kicks(0);
    let mut kicks = 0;
    for count in (1..=250).rev() {
        // The PIT's next tick, each time a bit sooner.
        test_machine.vcpu(0, 1).backend.exits.clear();
        let exits = [out(0x43, 0x30), out(0x40, 0), out(0x40, count)];
        test_machine.vcpu(0, 1).backend.exits.extend(exits);
        test_machine.turn(1);
        test_machine.host.pass_ns(1_000);
        kicks += test_machine.host.take_kicks(0);
        test_machine.turn(0);
    }
    assert!((1..=3).contains(&kicks), "{kicks}");
}

/// Counts the kicks that CPU 0 gets.
#[derive(Default)]
struct Kicks(AtomicU32, AtomicU64);

impl Services for Kicks {
    fn now(&self) -> Instant {
        Instant::from_ns(self.1.load(Ordering::Relaxed))
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(CPU.get())
    }
    fn kick(&self, _: CpuId) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_deadline_rings_if_it_would_be_missed_otherwise() {
    let at = Instant::from_ns;
    let kicks: &'static Kicks = Box::leak(Box::default());
    let bell = Bell::new(CpuId(0), kicks);
    CPU.set(1);
    bell.begin_scan();
    // Between the look and what it found, everybody rings.
    bell.ring_before(at(u64::MAX - 1));
    assert!(bell.answer() && bell.begin_scan());
    bell.scans_at(Some(at(100)));
    bell.ring_before(at(100));
    assert!(!bell.is_rung());
    bell.ring_before(at(99));
    assert!(bell.answer());
    bell.begin_scan();
    bell.will_scan_soon();
    bell.ring_before(at(1));
    assert!(!bell.is_rung());
    assert_eq!(kicks.0.load(Ordering::Relaxed), 2);
    CPU.set(0);
}
