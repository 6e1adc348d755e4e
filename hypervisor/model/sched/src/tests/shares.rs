//! Shares: which vCPU gets how much, and when.

use super::{MS, SECOND, is_near};
use crate::simulation::{Cpu, Habit};
use crate::{SLICE_NS, Share};
use alloc::sync::Arc;
use alloc::vec::Vec;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Returns the fair run time of guest `of`, which is always busy, after the other guests got what
/// they want: in ns of `total_ns`.
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

/// The same mixes each time; `PROPTEST_CASES` asks for another number of them.
fn mixes() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(mixes())]

    /// In a minute, shares within 5 % of the weights; no vCPU starves, and a wake-up is heard
    /// within a slice.
    #[test]
    fn any_mix_of_sleepers_and_busy_ones_is_fair(
        busy in vec(1..=1_000u32, 1..=6),
        sleepers in vec((50_000..450_000u64, 20..70u64, 500..1_500u32), 0..8),
    ) {
        let mut cpu = Cpu::default();
        for weight in &busy {
            cpu.add(Habit::Busy, *weight);
        }
        // All sleepers together want less than what their weights give them.
        let mut wants = Vec::new();
        for (burst_ns, bursts, weight) in &sleepers {
            let nap_ns = burst_ns * bursts * (1 + sleepers.len() as u64);
            let habit = Habit::Sleepy { burst_ns: *burst_ns, nap_ns };
            wants.push((cpu.add(habit, *weight), *burst_ns, nap_ns));
        }
        cpu.run_for(SECOND);
        let total_ns = 60 * SECOND;
        cpu.measure(total_ns);
        for number in 0..busy.len() {
            // The measured time begins and ends somewhere in its turns: that may be a slice each.
            let (got, wanted) = (cpu.guests[number].ran_ns, fair_share(&cpu, number, total_ns));
            prop_assert!(got.abs_diff(wanted) <= wanted / 20 + 2 * SLICE_NS, "busy {} has {}, not {}", number, got, wanted);
        }
        for (number, burst_ns, nap_ns) in wants {
            let guest = &cpu.guests[number];
            let wanted = total_ns / (burst_ns + nap_ns) * burst_ns;
            prop_assert!(guest.ran_ns.abs_diff(wanted) <= wanted / 20 + burst_ns, "sleeper {} has {}, not {}", number, guest.ran_ns, wanted);
            prop_assert!(guest.latency_ns <= SLICE_NS, "sleeper {} waited {}", number, guest.latency_ns);
        }
    }

    #[test]
    fn wake_ups_win_no_more_than_the_weight_does(
        burst_ns in 20_000..20_020_000u64,
        nap_ns in 1_000..101_000u64,
        busy_weight in 1..=1_000u32,
        sleepy_weight in 1..=1_000u32,
    ) {
        let mut cpu = Cpu::default();
        cpu.add(Habit::Busy, busy_weight);
        cpu.add(Habit::Sleepy { burst_ns, nap_ns }, sleepy_weight);
        let total_ns = 4 * SECOND;
        cpu.run_for(total_ns);
        let busy = cpu.guests[0].ran_ns;
        let due = total_ns * u64::from(busy_weight) / u64::from(busy_weight + sleepy_weight);
        prop_assert!(busy * 100 + 100 * SLICE_NS >= due * 95, "{} of {}", busy, due);
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
