use crate::simulation::{Cpu, Dice, Habit};
use crate::{RunQueue, SLICE_NS, Share};
use alloc::sync::Arc;
use alloc::vec::Vec;
use device::Instant;

const AT: fn(u64) -> Instant = Instant::from_ns;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

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
        queue.put_back(vcpu, now);
    }
    let first = queue.pick(now).expect("all are awake");
    (queue, now, first)
}

/// Whether `got` is within this many percent of `wanted`.
fn is_near(got: u64, wanted: u64, percent: u64) -> bool {
    got.abs_diff(wanted) * 100 <= wanted * percent
}

/// What each of those that want all they can get has, when the others have what they want: in ns of `total_ns`.
fn fair_share(cpu: &Cpu, of: usize, total_ns: u64) -> u64 {
    let busy = cpu
        .guests
        .iter()
        .filter(|guest| matches!(guest.habit, Habit::Busy));
    let weights: u64 = busy.map(|guest| u64::from(guest.share.weight())).sum();
    let others = cpu
        .guests
        .iter()
        .filter(|guest| !matches!(guest.habit, Habit::Busy));
    let left_ns = total_ns - others.map(|guest| guest.ran_ns).sum::<u64>();
    left_ns * u64::from(cpu.guests[of].share.weight()) / weights
}

#[test]
fn busy_vcpus_share_by_weight() {
    let mixes: [&[u32]; 6] = [
        &[100, 100],
        &[100, 200],
        &[1, 10_000],
        &[100, 200, 300, 400],
        &[1, 1, 1, 1, 1, 1, 1, 1, 50],
        &[10_000, 100, 100, 7],
    ];
    for weights in mixes {
        let mut cpu = Cpu::default();
        for weight in weights {
            cpu.add(Habit::Busy, *weight);
        }
        let total_ns = 150 * SECOND;
        cpu.run_for(total_ns);
        for (number, guest) in cpu.guests.iter().enumerate() {
            let wanted = fair_share(&cpu, number, total_ns);
            let got = guest.ran_ns;
            // And what came with the first wake-up.
            assert!(
                got.abs_diff(wanted) <= wanted / 20 + SLICE_NS,
                "{weights:?}: {number} has {got}, not {wanted}"
            );
        }
    }
}

#[test]
fn one_to_two_holds_over_a_second() {
    let mut cpu = Cpu::default();
    cpu.add(Habit::Busy, 100);
    cpu.add(Habit::Busy, 200);
    cpu.measure(SECOND);
    let [light, heavy] = [0, 1].map(|number: usize| cpu.guests[number].ran_ns);
    assert!(is_near(heavy, 2 * light, 5), "{light} and {heavy}");
}

#[test]
fn any_mix_of_sleepers_and_busy_ones_is_fair() {
    let mut dice = Dice(0x5eed);
    for mix in 0..12 {
        let mut cpu = Cpu::default();
        let busy = 1 + dice.roll(6) as usize;
        for _ in 0..busy {
            cpu.add(Habit::Busy, 1 + dice.roll(1_000) as u32);
        }
        // All sleepers together want less than what their weights give them.
        let sleepers = dice.roll(8) as usize;
        let mut wants = Vec::new();
        for _ in 0..sleepers {
            let burst_ns = 50_000 + dice.roll(400_000);
            let nap_ns = burst_ns * (20 + dice.roll(50)) * (1 + sleepers as u64);
            let number = cpu.add(
                Habit::Sleepy { burst_ns, nap_ns },
                500 + dice.roll(1_000) as u32,
            );
            wants.push((number, burst_ns, nap_ns));
        }
        cpu.run_for(SECOND);
        let total_ns = 6 * SECOND;
        cpu.measure(total_ns);
        for number in 0..busy {
            let (got, wanted) = (
                cpu.guests[number].ran_ns,
                fair_share(&cpu, number, total_ns),
            );
            assert!(
                is_near(got, wanted, 5),
                "mix {mix}: busy {number} has {got}, not {wanted}"
            );
        }
        for (number, burst_ns, nap_ns) in wants {
            let guest = &cpu.guests[number];
            let wanted = total_ns / (burst_ns + nap_ns) * burst_ns;
            let got = guest.ran_ns;
            assert!(
                is_near(got, wanted, 5),
                "mix {mix}: sleeper {number} has {got}, not {wanted}"
            );
            let latency_ns = guest.latency_ns;
            assert!(
                latency_ns <= SLICE_NS,
                "mix {mix}: sleeper {number} waited {latency_ns}"
            );
        }
    }
}

#[test]
fn wake_ups_win_no_more_than_the_weight_does() {
    let mut dice = Dice(0xface);
    for _ in 0..20 {
        let (burst_ns, nap_ns) = (20_000 + dice.roll(20 * MS), 1_000 + dice.roll(100_000));
        let weights = [1 + dice.roll(1_000) as u32, 1 + dice.roll(1_000) as u32];
        let mut cpu = Cpu::default();
        cpu.add(Habit::Busy, weights[0]);
        cpu.add(Habit::Sleepy { burst_ns, nap_ns }, weights[1]);
        let total_ns = 4 * SECOND;
        cpu.run_for(total_ns);
        let busy = cpu.guests[0].ran_ns;
        let due = total_ns * u64::from(weights[0]) / u64::from(weights[0] + weights[1]);
        assert!(
            busy * 100 >= due * 95,
            "{burst_ns}/{nap_ns} {weights:?}: {busy} of {due}"
        );
    }
}

#[test]
fn naps_of_a_heavy_one_do_not_pay_for_the_light_one() {
    let mut cpu = Cpu::default();
    cpu.add(Habit::Busy, 1);
    cpu.add(
        Habit::Sleepy {
            burst_ns: MS,
            nap_ns: 10_000,
        },
        10_000,
    );
    cpu.run_for(10 * SECOND);
    // What the naps leave, and hardly more.
    assert!(
        cpu.guests[0].ran_ns < 10 * SECOND / 50,
        "{}",
        cpu.guests[0].ran_ns
    );
}

#[test]
fn one_that_wakes_up_runs_within_a_slice_whatever_the_load() {
    for busy in [1, 2, 8, 32, 100] {
        let mut cpu = Cpu::default();
        for number in 0..busy {
            cpu.add(Habit::Busy, 1 + number * 97 % 1_000);
        }
        let burst_ns = 20_000;
        let nap_ns = 10 * MS + 12_345;
        let echo = cpu.add(Habit::Sleepy { burst_ns, nap_ns }, 100);
        cpu.measure(5 * SECOND);
        let latency_ns = cpu.guests[echo].latency_ns;
        assert!(latency_ns <= SLICE_NS, "{busy} busy ones: {latency_ns}");
    }
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
    queue.give_way(first, at(1), |vcpu| vcpu == to);
    assert_eq!(queue.pick(at(1)), Some(to));
    // With it goes the rest of the slice, not a new one.
    assert_eq!(queue.next_look(at(1)), Some(at(5)));
    // One that sleeps cannot take it.
    queue.leave(to, at(2));
    let third = queue.pick(at(2)).expect("three are awake");
    queue.give_way(third, at(3), |vcpu| vcpu == to);
    let next = queue.pick(at(3)).expect("three are awake");
    assert!(next != to && next != third);
}

#[test]
fn alone_who_gives_way_goes_on() {
    let mut queue = queue(1);
    assert_eq!(queue.pick(AT(0)), Some(0));
    assert!(!queue.is_contended());
    queue.give_way(0, AT(10), |_| true);
    assert_eq!(queue.pick(AT(10)), Some(0));
}

#[test]
fn a_cap_is_kept_alone_and_beside_others() {
    for percent in [1, 5, 10, 25, 50, 90] {
        for busy in 0..3 {
            let mut cpu = Cpu::default();
            let share = Arc::new(Share::new(10_000, Some(percent)));
            let capped = cpu.add_sharing(Habit::Busy, share);
            for _ in 0..busy {
                cpu.add(Habit::Busy, 1);
            }
            cpu.run_for(SECOND);
            cpu.measure(10 * SECOND);
            let wanted = 10 * SECOND / 100 * u64::from(percent);
            let got = cpu.guests[capped].ran_ns;
            assert!(
                is_near(got, wanted, 3),
                "{percent} %, {busy} busy: {got}, not {wanted}"
            );
            assert!(busy > 0 || cpu.idle_ns > 0);
        }
    }
}

#[test]
fn a_cap_binds_the_vcpus_of_a_vm_on_all_cpus_together() {
    let share = Arc::new(Share::new(100, Some(150)));
    let mut cpus: [Cpu; 4] = Default::default();
    for cpu in &mut cpus {
        cpu.add_sharing(Habit::Busy, share.clone());
        cpu.add(Habit::Busy, 1);
    }
    // A millisecond of each in turn.
    for _ in 0..10_000 {
        for cpu in &mut cpus {
            cpu.run_for(MS);
        }
    }
    let got: u64 = cpus.iter().map(|cpu| cpu.guests[0].ran_ns).sum();
    assert!(is_near(got, 15 * SECOND, 3), "{got}");
}

#[test]
fn new_weights_and_caps_count_from_the_next_turn() {
    let mut cpu = Cpu::default();
    cpu.add(Habit::Busy, 100);
    cpu.add(Habit::Busy, 100);
    cpu.run_for(SECOND);
    cpu.guests[1].share.set_weight(300);
    cpu.measure(4 * SECOND);
    assert!(is_near(cpu.guests[1].ran_ns, 3 * SECOND, 5));
    cpu.guests[1].share.set_cap(Some(20));
    cpu.run_for(SECOND);
    cpu.measure(5 * SECOND);
    assert!(is_near(cpu.guests[1].ran_ns, SECOND, 5));
    cpu.guests[1].share.set_cap(None);
    cpu.measure(4 * SECOND);
    assert!(is_near(cpu.guests[1].ran_ns, 3 * SECOND, 5));
}

#[test]
fn nothing_allocates_within_what_was_reserved() {
    let mut queue = RunQueue::default();
    queue.reserve(16);
    let (at, len) = (queue.entities.as_ptr(), queue.entities.capacity());
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
                Some(one) => queue.give_way(one, now, |other| other == vcpu),
                None => running = queue.pick(now),
            },
            _ => match running.take() {
                Some(one) => queue.put_back(one, now),
                None => running = queue.pick(now),
            },
        }
    }
    assert_eq!(
        (queue.entities.as_ptr(), queue.entities.capacity()),
        (at, len)
    );
}

#[test]
fn a_number_may_be_used_again() {
    let mut queue = queue(2);
    let first = queue.pick(AT(0)).expect("two are awake");
    queue.remove(first);
    // It is gone: what came back of it says nothing.
    queue.put_back(first, AT(MS));
    assert_eq!(queue.pick(AT(MS)), Some(1 - first));
    queue.put_back(1 - first, AT(2 * MS));
    queue.enter(first, Arc::new(Share::default()));
    assert!(!queue.is_waiting(first));
    queue.wake(first, AT(2 * MS));
    assert!(queue.is_waiting(first));
}

#[test]
fn a_turn_survives_an_exit_but_not_its_end() {
    let (mut queue, start, first) = settled(2);
    queue.put_back(first, start.after_ns(SLICE_NS / 2));
    assert_eq!(queue.pick(start.after_ns(SLICE_NS / 2)), Some(first));
    queue.put_back(first, start.after_ns(SLICE_NS));
    assert_eq!(queue.pick(start.after_ns(SLICE_NS)), Some(1 - first));
}

#[test]
fn an_interrupted_turn_goes_on_with_what_is_left() {
    let (mut queue, start, first) = settled(2);
    let at = |ms: u64| start.after_ns(ms * MS);
    queue.enter(2, Arc::new(Share::default()));
    queue.put_back(first, at(1));
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
    queue.put_back(first, AT(SLICE_NS));
    let second = queue.pick(AT(SLICE_NS)).expect("two are awake");
    assert_eq!(queue.waited_ns(second), SLICE_NS);
    assert_eq!(queue.waited_ns(first), 0);
}

#[test]
fn an_order_does_not_wait_for_a_turn_or_a_cap() {
    let (mut queue, start, first) = settled(2);
    let light = Arc::new(Share::new(1, Some(1)));
    queue.enter(2, light.clone());
    queue.put_back(first, start);
    queue.wake(2, start);
    light.charge(start, SECOND);
    queue.hurry(2);
    assert_eq!(queue.pick(start), Some(2));
    queue.put_back(2, start);
    assert_eq!(queue.pick(start), Some(first));
}
