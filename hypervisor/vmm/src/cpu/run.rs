//! What a physical CPU does for the rest of its life.

use crate::cpu::home::{Home, earliest};
use crate::operator::chores::Housekeeping;
use host::Host;

/// How long a vCPU that was picked runs at least before the alarm calls it back for others.
const LEAST_TURN_NS: u64 = 50_000;

/// Takes interrupts, fires alarms, picks a vCPU, steps it. vCPUs switch nowhere else.
///
/// `housekeeping` is the console and the operator; the boot CPU has it.
pub(crate) fn run_cpu<H: Host>(
    host: &'static H,
    cpu: &mut H::Cpu,
    home: &mut Home<H>,
    mut housekeeping: Option<Housekeeping<H>>,
) -> ! {
    loop {
        round(host, cpu, home, housekeeping.as_mut());
    }
}

/// One turn of the loop.
pub(crate) fn round<H: Host>(
    host: &'static H,
    cpu: &mut H::Cpu,
    home: &mut Home<H>,
    housekeeping: Option<&mut Housekeeping<H>>,
) {
    while let Some(vector) = host.next_interrupt(cpu) {
        home.dispatch(vector);
    }
    home.attend(cpu);
    let now = host.now();
    home.fire(now);
    let (chores, now) = match housekeeping {
        Some(keeper) => {
            let chores = keeper.keep(now);
            let after = host.now();
            home.excuse(now, after);
            (chores, after)
        }
        None => (None, now),
    };
    match home.pick(now) {
        Some(number) => {
            let until = earliest(home.next_event(now), chores);
            // However many timers of sleeping guests are due, whoever runs gets somewhere.
            let until = until.map(|at| at.max(now.after_ns(LEAST_TURN_NS)));
            home.step(cpu, number, until);
        }
        // `fire` and `keep` ring the bell of this CPU for the vCPUs they wake, and nobody kicks a CPU for its own ring.
        None if home.is_called() => {}
        None => {
            host.set_alarm(cpu, earliest(home.next_event(now), chores));
            home.idle(cpu, now);
        }
    }
}
