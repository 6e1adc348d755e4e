//! Main loop of a physical CPU: what it does for the rest of its life.

use crate::cpu::home::Home;
use host::Host;
use time::{Instant, earliest};

/// Shortest time for which a vCPU that was picked runs before the alarm calls it back for others.
const MIN_TURN_NS: u64 = 50_000;

/// Work that a CPU does between the turns of its vCPUs, for the operator of the machine.
pub trait Chores {
    /// Does what is due; returns when to come back.
    fn keep(&mut self, now: Instant) -> Option<Instant>;
}

/// Takes interrupts, fires alarms, picks a vCPU, steps it. vCPUs switch nowhere else.
///
/// `chores` are those of the operator; the boot CPU has them.
pub(crate) fn run_cpu<H: Host>(
    host: &'static H,
    cpu: &mut H::Cpu,
    home: &mut Home<H>,
    mut chores: Option<&mut dyn Chores>,
) -> ! {
    loop {
        let chores: Option<&mut dyn Chores> = match &mut chores {
            Some(chores) => Some(&mut **chores),
            None => None,
        };
        round(host, cpu, home, chores);
    }
}

/// One turn of the loop.
pub(crate) fn round<H: Host>(
    host: &'static H,
    cpu: &mut H::Cpu,
    home: &mut Home<H>,
    chores: Option<&mut dyn Chores>,
) {
    while let Some(vector) = host.next_interrupt(cpu) {
        home.dispatch(vector);
    }
    home.attend(cpu);
    let now = host.now();
    home.fire(now);
    let (next_chore, now) = match chores {
        Some(chores) => {
            let next = chores.keep(now);
            let after = host.now();
            home.discount(now, after);
            (next, after)
        }
        None => (None, now),
    };
    match home.pick(now) {
        Some(number) => {
            let until = earliest(home.next_event(now), next_chore);
            // However many timers of sleeping guests are due, the vCPU that runs makes progress.
            let until = until.map(|at| at.max(now.after_ns(MIN_TURN_NS)));
            home.step(cpu, number, until);
        }
        // `fire` and `keep` ring the bell of this CPU for the vCPUs they wake, and no CPU is kicked
        // for its own ring.
        None if home.is_called() => {}
        None => {
            host.set_alarm(cpu, earliest(home.next_event(now), next_chore));
            home.idle(cpu, now);
        }
    }
}
