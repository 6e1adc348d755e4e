//! Mailbox and bell between real threads: no wake-up is lost.

use crate::test_host::CPU;
use alloc::boxed::Box;
use alloc::sync::Arc;
use board::Bell;
use board::Mailbox;
use board::Services;
use chipset::{LocalApic, Trigger};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use host::CpuId;
use std::thread;
use std::time::Duration;
use time::Instant;
use x86::Vector;

/// Two CPUs that are threads, each with the interrupt that is pending.
#[derive(Default)]
struct Machine {
    pending: [AtomicBool; 2],
}

impl Services for Machine {
    fn now(&self) -> Instant {
        Instant::default()
    }
    fn this_cpu(&self) -> CpuId {
        CpuId(CPU.get())
    }
    fn kick(&self, target: CpuId) {
        self.pending[target.0 as usize].store(true, Ordering::SeqCst);
    }
}

impl Machine {
    /// Waits for an interrupt, as a guest or an idle CPU does.
    fn wait(&self, cpu: usize, is_over: &AtomicBool) {
        while !self.pending[cpu].swap(false, Ordering::SeqCst) && !is_over.load(Ordering::Relaxed) {
            core::hint::spin_loop();
            thread::yield_now();
        }
    }
}

/// Does what `cpu_loop`, `Home` and `VirtualCpu::step` do with one vCPU, which halts after each
/// entry when `is_sleepy`.
fn live(machine: &Machine, bell: &Bell, mailbox: &Mailbox, seen: &AtomicU64, is_over: &AtomicBool) {
    let mut is_asleep = false;
    let mut round = 0u64;
    while !is_over.load(Ordering::Relaxed) {
        round += 1;
        if machine.pending[0].swap(false, Ordering::SeqCst) {
            bell.ring();
        }
        if bell.answer() && mailbox.has_mail() {
            is_asleep = false;
        }
        if is_asleep {
            if !bell.is_rung() {
                machine.wait(0, is_over);
            }
            continue;
        }
        mailbox.set_running(true);
        if mailbox.has_mail() {
            mailbox.take();
            mailbox.take_interrupts(|_, _| {
                seen.fetch_add(1, Ordering::SeqCst);
            });
        }
        // Into the guest, unless it comes back at once by itself.
        if !bell.is_rung() && !round.is_multiple_of(3) {
            machine.wait(0, is_over);
        }
        mailbox.set_running(false);
        // Every other time the guest halts.
        is_asleep = round.is_multiple_of(2) && !mailbox.has_mail();
    }
}

#[test]
fn every_interrupt_from_another_cpu_is_seen() {
    const COUNT: u64 = 20_000;
    let machine: &'static Machine = Box::leak(Box::default());
    let bell = Arc::new(Bell::new(CpuId(0), machine));
    let addressing = LocalApic::new(0, true).addressing();
    let mailbox = Mailbox::new(bell.clone(), addressing);
    let (seen, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let lost = thread::scope(|scope| {
        scope.spawn(|| {
            CPU.set(0);
            live(machine, &bell, &mailbox, &seen, &is_over);
        });
        let sender = scope.spawn(|| {
            CPU.set(1);
            for count in 0..COUNT {
                mailbox.post(Vector(count as u8), Trigger::Edge);
                let start = std::time::Instant::now();
                while seen.load(Ordering::SeqCst) <= count {
                    if start.elapsed() > Duration::from_secs(20) {
                        return Some(count);
                    }
                    thread::yield_now();
                }
            }
            None
        });
        let lost = sender.join().expect("the sender does not panic");
        is_over.store(true, Ordering::Relaxed);
        lost
    });
    assert_eq!(lost, None);
}

#[test]
fn an_interrupt_to_a_vcpu_that_was_told_disturbs_nobody_again() {
    let machine: &'static Machine = Box::leak(Box::default());
    let bell = Arc::new(Bell::new(CpuId(0), machine));
    let mailbox = Mailbox::new(bell.clone(), LocalApic::new(0, true).addressing());
    CPU.set(1);
    mailbox.post(Vector(0x30), Trigger::Edge);
    assert!(machine.pending[0].swap(false, Ordering::SeqCst));
    assert!(bell.answer());
    // Its turn has not come: another one runs there.
    for vector in 0x31..0xff {
        mailbox.post(Vector(vector), Trigger::Edge);
    }
    assert!(!machine.pending[0].load(Ordering::SeqCst) && !bell.is_rung());
    let mut count = 0;
    mailbox.take();
    mailbox.take_interrupts(|_, _| count += 1);
    assert_eq!(count, 0xff - 0x30);
    CPU.set(0);
}
