//! What a physical CPU does for the rest of its life.

use crate::home::{Home, earliest};
use crate::housekeeping::Housekeeping;
use host::Host;

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
        while let Some(vector) = host.next_interrupt(cpu) {
            home.dispatch(vector);
        }
        home.attend(cpu);
        let now = host.now();
        home.fire(now);
        let chores = housekeeping.as_mut().and_then(|keeper| keeper.keep(now));
        match home.pick(now) {
            Some(number) => {
                let until = earliest(home.next_event(), chores);
                home.step(cpu, number, until);
            }
            None => {
                host.set_alarm(cpu, earliest(home.next_event(), chores));
                host.idle(cpu);
            }
        }
    }
}
