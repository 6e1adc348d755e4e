//! Turns: how they begin, are interrupted, handed over and end.

use super::{AT, MS, SECOND, is_near};
use crate::simulation::{Cpu, Dice, Habit};
use crate::{RunQueue, SLICE_NS, Share};
use alloc::sync::Arc;
use time::Instant;

/// A queue with this many vCPUs of equal weight, all awake.
fn queue(vcpus: usize) -> RunQueue {
    let mut queue = RunQueue::default();
    for vcpu in 0..vcpus {
        queue.enter(vcpu, Arc::new(Share::default()));
        queue.wake(vcpu, AT(0));
    }
    queue
}

/// The same, when each has had a turn, so that none has the credit of one that woke up; and when the next turn began, and whose.
fn settled(vcpus: usize) -> (RunQueue, Instant, usize) {
    let mut queue = queue(vcpus);
    let mut now = AT(0);
    for _ in 0..vcpus {
        let vcpu = queue.pick(now).expect("all are awake");
        now = now.after_ns(SLICE_NS);
        queue.requeue(vcpu, now);
    }
    let first = queue.pick(now).expect("all are awake");
    (queue, now, first)
}

#[test]
fn nobody_starves_beside_those_who_give_way_and_wake_up() {
    let mut cpu = Cpu::default();
    let busy = cpu.add(Habit::Busy, 100);
    let pair = [busy + 1, busy + 2];
    for (number, to) in [(pair[0], pair[1]), (pair[1], pair[0])] {
        let spins = Habit::Spins {
            spin_ns: 10_000,
            to: Some(to),
        };
        assert_eq!(cpu.add(spins, 100), number);
    }
    cpu.add(
        Habit::Spins {
            spin_ns: 2_000,
            to: None,
        },
        100,
    );
    for burst_ns in [1_000, 30_000, 3 * MS] {
        let nap_ns = 1_000;
        cpu.add(Habit::Sleepy { burst_ns, nap_ns }, 100);
    }
    let total_ns = 2 * SECOND;
    cpu.measure(total_ns);
    for (number, guest) in cpu.guests.iter().enumerate() {
        assert!(
            guest.pause_ns < 200 * MS,
            "{number} stood for {}",
            guest.pause_ns
        );
    }
    assert!(cpu.guests[busy].ran_ns >= total_ns / 7 * 95 / 100);
}

#[test]
fn who_gave_way_for_long_may_not_take_it_all_back() {
    let mut cpu = Cpu::default();
    let spinner = cpu.add(
        Habit::Spins {
            spin_ns: 2_000,
            to: None,
        },
        100,
    );
    let busy = cpu.add(Habit::Busy, 100);
    cpu.run_for(SECOND);
    cpu.guests[spinner].habit = Habit::Busy;
    cpu.measure(SECOND);
    assert!(
        cpu.guests[busy].pause_ns <= 3 * SLICE_NS,
        "{}",
        cpu.guests[busy].pause_ns
    );
}

#[test]
fn a_turn_that_is_handed_over_goes_to_the_one_that_is_meant() {
    let (mut queue, start, first) = settled(4);
    let at = |ms: u64| start.after_ns(ms * MS);
    let to = (first + 2) % 4;
    queue.yield_turn(first, at(1), |vcpu| vcpu == to);
    assert_eq!(queue.pick(at(1)), Some(to));
    // With it goes the rest of the slice, not a new one.
    assert_eq!(queue.next_look(at(1)), Some(at(5)));
    // One that sleeps cannot take it.
    queue.leave(to, at(2));
    let third = queue.pick(at(2)).expect("three are awake");
    queue.yield_turn(third, at(3), |vcpu| vcpu == to);
    let next = queue.pick(at(3)).expect("three are awake");
    assert!(next != to && next != third);
}

#[test]
fn alone_who_gives_way_goes_on() {
    let mut queue = queue(1);
    assert_eq!(queue.pick(AT(0)), Some(0));
    assert!(!queue.is_contended());
    queue.yield_turn(0, AT(10), |_| true);
    assert_eq!(queue.pick(AT(10)), Some(0));
}

#[test]
fn nothing_allocates_within_what_was_reserved() {
    let mut queue = RunQueue::default();
    queue.reserve(16);
    let place = |queue: &RunQueue| (queue.entities.as_ptr(), queue.ready.as_ptr());
    let before = place(&queue);
    let share = Arc::new(Share::new(100, Some(50)));
    let mut dice = Dice(7);
    let mut running = None;
    for round in 0..100_000u64 {
        let (vcpu, now) = (dice.roll(16) as usize, AT(round * 10_000));
        match dice.roll(8) {
            0 => {
                queue.remove(vcpu);
                running = running.filter(|running| *running != vcpu);
            }
            1 | 2 if queue.entities[vcpu].is_none() => queue.enter(vcpu, share.clone()),
            3 | 4 => queue.wake(vcpu, now),
            5 => match running.take() {
                Some(one) => queue.leave(one, now),
                None => running = queue.pick(now),
            },
            6 => match running.take() {
                Some(one) => queue.yield_turn(one, now, |other| other == vcpu),
                None => running = queue.pick(now),
            },
            _ => match running.take() {
                Some(one) => queue.requeue(one, now),
                None => running = queue.pick(now),
            },
        }
    }
    assert_eq!(place(&queue), before);
}

#[test]
fn a_number_may_be_used_again() {
    let mut queue = queue(2);
    let first = queue.pick(AT(0)).expect("two are awake");
    queue.remove(first);
    // It is gone: what came back of it says nothing.
    queue.requeue(first, AT(MS));
    assert_eq!(queue.pick(AT(MS)), Some(1 - first));
    queue.requeue(1 - first, AT(2 * MS));
    queue.enter(first, Arc::new(Share::default()));
    assert!(!queue.is_waiting(first));
    queue.wake(first, AT(2 * MS));
    assert!(queue.is_waiting(first));
}

#[test]
fn a_turn_survives_an_exit_but_not_its_end() {
    let (mut queue, start, first) = settled(2);
    queue.requeue(first, start.after_ns(SLICE_NS / 2));
    assert_eq!(queue.pick(start.after_ns(SLICE_NS / 2)), Some(first));
    queue.requeue(first, start.after_ns(SLICE_NS));
    assert_eq!(queue.pick(start.after_ns(SLICE_NS)), Some(1 - first));
}

#[test]
fn an_interrupted_turn_goes_on_with_what_is_left() {
    let (mut queue, start, first) = settled(2);
    let at = |ms: u64| start.after_ns(ms * MS);
    queue.enter(2, Arc::new(Share::default()));
    queue.requeue(first, at(1));
    queue.wake(2, at(1));
    assert_eq!(queue.pick(at(1)), Some(2));
    queue.leave(2, at(2));
    assert_eq!(queue.pick(at(2)), Some(first));
    assert_eq!(queue.next_look(at(2)), Some(at(6)));
}

#[test]
fn what_a_vcpu_waits_is_counted() {
    let mut queue = queue(2);
    let first = queue.pick(AT(0)).expect("two are awake");
    queue.requeue(first, AT(SLICE_NS));
    let second = queue.pick(AT(SLICE_NS)).expect("two are awake");
    assert_eq!(queue.waited_ns(second), SLICE_NS);
    assert_eq!(queue.waited_ns(first), 0);
}

#[test]
fn an_order_does_not_wait_for_a_turn_or_a_cap() {
    let (mut queue, start, first) = settled(2);
    let light = Arc::new(Share::new(1, Some(1)));
    queue.enter(2, light.clone());
    queue.requeue(first, start);
    queue.wake(2, start);
    light.charge(start, SECOND);
    queue.expedite(2);
    assert_eq!(queue.pick(start), Some(2));
    queue.requeue(2, start);
    assert_eq!(queue.pick(start), Some(first));
}

#[test]
fn turns_that_are_handed_over_are_paid_for() {
    let mut cpu = Cpu::default();
    let other = cpu.add(Habit::Busy, 100);
    let sibling = cpu.add(Habit::Busy, 100);
    let spinner = Habit::Spins {
        spin_ns: 100_000,
        to: Some(sibling),
    };
    cpu.add(spinner, 100);
    cpu.measure(3 * SECOND);
    let got = cpu.guests[other].ran_ns;
    assert!(is_near(got, SECOND, 5), "{got}");
}

#[test]
fn time_that_is_nobodys_is_not_charged() {
    let (mut queue, start, first) = settled(2);
    let at = |ms: u64| start.after_ns(ms * MS);
    queue.requeue(first, at(1));
    queue.discount(at(1), at(3));
    assert_eq!(queue.pick(at(3)), Some(first));
    assert_eq!(queue.next_look(at(3)), Some(at(7)));
}
