//! Interrupts between vCPUs: order, choice of the receiver, and what a storm of them costs.

use crate::test_host::CPU;
use crate::test_host::{TestMachine, hlt, spec};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::Bell;
use board::Cpus;
use board::Services;
use board::VmState;
use board::{Begin, Mail, Mailbox};
use chipset::{ApicMessage, Delivery, DestinationMode, Ipi, LocalApic, Shorthand, Trigger};
use core::sync::atomic::{AtomicU32, Ordering};
use host::CpuId;
use time::Instant;
use vcpu::Vcpu as _;
use vcpu::{Activity, Event};
use x86::{SegmentRegister, Vector};

const ICR: u64 = 0xfee0_0300;
const ICR_HIGH: u64 = 0xfee0_0310;
const MAX_VCPUS: usize = 32;

/// Counts the kicks that CPU 0 gets.
#[derive(Default)]
struct Kicks(AtomicU32);

impl Services for Kicks {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(CPU.get())
    }
    fn kick(&self, target: CpuId) {
        assert_eq!(target, CpuId(0));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn mailbox() -> Mailbox {
    let kicks: &'static Kicks = Box::leak(Box::default());
    let bell = Arc::new(Bell::new(CpuId(0), kicks));
    Mailbox::new(bell, LocalApic::new(1, false).addressing())
}

/// vCPUs on one CPU, all with their local APICs switched on and flat logical ids.
fn cpus(count: usize) -> (&'static Kicks, Cpus) {
    let kicks: &'static Kicks = Box::leak(Box::default());
    let bell = Arc::new(Bell::new(CpuId(0), kicks));
    let mailbox = |id: usize| {
        let mut apic = LocalApic::new(id as u32, id == 0);
        apic.enter_virtual_wire();
        let mut addressing = apic.addressing();
        addressing.logical = 1_u8.checked_shl(id as u32).unwrap_or(0);
        Arc::new(Mailbox::new(bell.clone(), addressing))
    };
    (kicks, Cpus::new((0..count).map(mailbox).collect()))
}

fn message(delivery: Delivery, destination: u32) -> ApicMessage {
    ApicMessage {
        destination,
        mode: DestinationMode::Logical,
        delivery,
        vector: Vector(0x41),
        trigger: Trigger::Edge,
    }
}

/// Takes the vectors that wait for each vCPU, and returns how many there were.
fn taken(cpus: &Cpus) -> Vec<usize> {
    let count = |mailbox: &Arc<Mailbox>| {
        let mut count = 0;
        mailbox.take();
        mailbox.take_interrupts(|_, _| count += 1);
        count
    };
    cpus.mailboxes().iter().map(count).collect()
}

#[test]
fn the_first_of_two_start_up_ipis_says_where() {
    let mailbox = mailbox();
    mailbox.post_init();
    mailbox.post_sipi(Vector(0x12));
    mailbox.post_sipi(Vector(0x34));
    let taken = mailbox.take();
    assert_eq!(taken.mail, Mail::INIT | Mail::SIPI);
    assert_eq!(taken.sipi, Vector(0x12));
    assert!(!mailbox.has_mail());
}

#[test]
fn a_start_up_ipi_before_init_starts_nothing() {
    let mailbox = mailbox();
    mailbox.post_sipi(Vector(0x12));
    mailbox.send(Mail::NMI | Mail::HALT);
    mailbox.post_init();
    assert_eq!(mailbox.take().mail, Mail::INIT | Mail::HALT);
    mailbox.post_sipi(Vector(0x12));
    mailbox.post_init();
    mailbox.post_sipi(Vector(0x34));
    let taken = mailbox.take();
    assert_eq!(taken.mail, Mail::INIT | Mail::SIPI);
    assert_eq!(taken.sipi, Vector(0x34));
}

#[test]
fn a_start_leaves_what_came_behind_it() {
    let mailbox = mailbox();
    mailbox.post_init();
    assert_eq!(mailbox.take_begin(), None);
    assert!(!mailbox.has_mail());
    mailbox.send(Mail::START);
    mailbox.post_init();
    mailbox.post_sipi(Vector(0x12));
    assert_eq!(mailbox.take_begin(), Some(Begin::Start));
    let taken = mailbox.take();
    assert_eq!(
        (taken.mail, taken.sipi),
        (Mail::INIT | Mail::SIPI, Vector(0x12))
    );
}

#[test]
fn lowest_priority_goes_to_one_and_takes_turns() {
    let (_, cpus) = cpus(8);
    for _ in 0..6 {
        cpus.deliver(&message(Delivery::LowestPriority, 0b1010_0100));
        assert_eq!(taken(&cpus).iter().sum::<usize>(), 1);
    }
    let mut counts = [0; 8];
    for _ in 0..30 {
        cpus.deliver(&message(Delivery::LowestPriority, 0b1010_0100));
        for (count, more) in counts.iter_mut().zip(taken(&cpus)) {
            *count += more;
        }
    }
    assert_eq!(counts, [0, 0, 10, 0, 0, 10, 0, 10]);
}

#[test]
fn lowest_priority_passes_by_who_is_switched_off() {
    let (_, cpus) = cpus(2);
    let off = LocalApic::new(0, true).addressing();
    cpus.mailboxes()[0].publish(chipset::Addressing { logical: 1, ..off });
    for _ in 0..4 {
        cpus.deliver(&message(Delivery::LowestPriority, 0b11));
        assert_eq!(taken(&cpus), [0, 1]);
    }
    cpus.deliver(&message(Delivery::LowestPriority, 0b01));
    assert_eq!(taken(&cpus), [0, 0]);
}

#[test]
fn a_shorthand_does_not_reach_a_local_apic_that_is_off() {
    let (_, cpus) = cpus(3);
    let mut off = LocalApic::new(2, false);
    off.write_msr(x86::msr::IA32_APIC_BASE, 0xfee0_0000)
        .expect("a legal mode");
    cpus.mailboxes()[2].publish(off.addressing());
    let ipi = |shorthand| Ipi {
        shorthand,
        message: message(Delivery::Fixed, 0),
    };
    cpus.send(0, &ipi(Shorthand::All));
    assert_eq!(taken(&cpus), [1, 1, 0]);
    cpus.send(1, &ipi(Shorthand::AllButSelf));
    assert_eq!(taken(&cpus), [1, 0, 0]);
}

#[test]
fn a_storm_to_vcpus_that_wait_for_their_turn_disturbs_their_cpu_once() {
    let (kicks, cpus) = cpus(MAX_VCPUS);
    CPU.set(1);
    let storm = Ipi {
        shorthand: Shorthand::All,
        message: message(Delivery::Fixed, 0),
    };
    // The neighbour on that CPU runs on; that CPU has not looked for mail yet.
    for _ in 0..1_000 {
        cpus.send(0, &storm);
    }
    CPU.set(0);
    assert_eq!(kicks.0.load(Ordering::Relaxed), 1);
    assert_eq!(taken(&cpus), [1; MAX_VCPUS]);
}

#[test]
fn the_largest_vm_hears_a_broadcast_with_every_vcpu() {
    let last = MAX_VCPUS - 1;
    let mut test_machine = TestMachine::with(2, [spec("vm", MAX_VCPUS as u32)]);
    // INIT and SIPI to all but self.
    test_machine.store(ICR, 0xc_4500);
    test_machine.store(ICR, 0xc_4608);
    for _ in 0..4 * MAX_VCPUS {
        test_machine.pass_ns(sched::SLICE_NS);
    }
    for id in 1..=last {
        let vcpu = test_machine.vcpu(0, id);
        assert_eq!(vcpu.activity, Activity::Running, "vCPU {id}");
        let cs = vcpu.backend.state.segment[SegmentRegister::Cs as usize];
        assert_eq!(cs.base, 0x8000);
        vcpu.local.apic.enter_virtual_wire();
        test_machine.set_interrupts(0, id, true);
    }
    test_machine.store(ICR, 0xc_4055);
    for _ in 0..4 * MAX_VCPUS {
        test_machine.pass_ns(sched::SLICE_NS);
    }
    for id in 1..=last {
        assert_eq!(
            test_machine.delivered(0, id),
            [Event::Interrupt(Vector(0x55))],
            "vCPU {id}"
        );
    }
}

#[test]
fn init_stops_a_halted_vcpu_until_its_start_up_ipi() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.run_on(0, 1, [hlt()]);
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::Halted);
    test_machine.store(ICR_HIGH, 1 << 24);
    test_machine.store(ICR, 0x4500);
    test_machine.turns();
    assert_eq!(test_machine.vcpu(0, 1).activity, Activity::WaitForSipi);
    test_machine.store(ICR, 0x4620);
    test_machine.turns();
    let vcpu = test_machine.vcpu(0, 1);
    assert_eq!(vcpu.activity, Activity::Running);
    let cs = vcpu.backend.state.segment[SegmentRegister::Cs as usize];
    assert_eq!(cs.base, 0x2_0000);
}

#[test]
fn a_start_up_ipi_to_a_running_vcpu_is_lost() {
    let mut test_machine = TestMachine::with(2, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.store(ICR_HIGH, 1 << 24);
    test_machine.store(ICR, 0x4620);
    test_machine.turns();
    let cs = test_machine.vcpu(0, 1).backend.state.segment[SegmentRegister::Cs as usize];
    assert_eq!(cs.base, 0x8000);
}

#[test]
fn init_to_the_boot_processor_resets_the_machine() {
    let mut test_machine = TestMachine::with(1, [spec("vm", 2)]);
    test_machine.start_second();
    test_machine.store(ICR_HIGH, 0);
    test_machine.store(ICR, 0x4500);
    test_machine.turns();
    test_machine.turns();
    assert_ne!(test_machine.state(0), VmState::Running);
    let reason = test_machine
        .vm(0)
        .lifecycle()
        .last_stop()
        .expect("it stopped");
    assert_eq!(
        alloc::format!("{reason}"),
        "reset by the guest (INIT to the boot processor)"
    );
}

#[test]
fn an_apic_base_past_the_last_address_is_refused() {
    let mut test_machine = TestMachine::new();
    let bits = test_machine.vm(0).model().physical_bits();
    test_machine.write_msr(x86::msr::IA32_APIC_BASE, 0xfee0_0900 | 1 << bits);
    let gp = Event::Exception(x86::Fault::GENERAL_PROTECTION);
    assert_eq!(test_machine.delivered(0, 0), [gp]);
    test_machine.write_msr(x86::msr::IA32_APIC_BASE, 0xfee0_0900 | 1 << (bits - 1));
    assert_eq!(test_machine.delivered(0, 0), []);
}

#[test]
fn after_reset_and_init_edx_says_which_cpu_it_is() {
    let mut test_machine = TestMachine::with(2, [spec("smp", 2)]);
    let edx =
        |test_machine: &mut TestMachine| test_machine.vcpu(0, 1).backend.gpr(x86::Gpr::Rdx) as u32;
    assert_eq!(edx(&mut test_machine), crate::test_host::SIGNATURE);
    test_machine.start_second();
    assert_eq!(edx(&mut test_machine), crate::test_host::SIGNATURE);
    test_machine
        .vcpu(0, 1)
        .backend
        .set_gpr(x86::Gpr::Rdx, u64::MAX);
    test_machine.vm(0).cpus().mailboxes()[1].post_init();
    test_machine.settle();
    assert_eq!(edx(&mut test_machine), crate::test_host::SIGNATURE);
}
