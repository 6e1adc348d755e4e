//! Ways to leave the machine.

use cpu::IoPorts;
use host::PowerAction;
use spin::Once;

use crate::acpi::{Facts, Register};

/// The registers for it, from the firmware's tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exits {
    pm1_control: [Option<u16>; 2],
    s5: Option<[u8; 2]>,
    enable: Option<(u16, u8)>,
    reset: Option<(Register, u8)>,
}

static EXITS: Once<Exits> = Once::new();

/// Remembers what the tables say.
pub(crate) fn remember(facts: &Facts) {
    let Facts {
        pm1_control,
        s5,
        enable,
        reset,
        ..
    } = *facts;
    EXITS.call_once(|| Exits {
        pm1_control,
        s5,
        enable,
        reset,
    });
}

/// Ends it all; if the machine does not let us, says so and halts.
pub(crate) fn leave(action: PowerAction) -> ! {
    let exits = EXITS.get().copied().unwrap_or_default();
    match action {
        PowerAction::Off => power_off(&exits),
        PowerAction::Reset => reset(&exits),
    }
    crate::console::write_all(
        "caisson: this machine cannot be left by software; it may be switched off now\r\n"
            .as_bytes(),
    );
    cpu::halt_forever()
}

/// Sleep state S5. (ACPI 6.5 section 16.1.7)
fn power_off(exits: &Exits) {
    const SCI_ENABLE: u16 = 1 << 0;
    const SLEEP_ENABLE: u16 = 1 << 13;
    // SAFETY: PM1a and PM1b control, by the firmware's tables: two bytes each.
    let control = exits
        .pm1_control
        .map(|port| unsafe { IoPorts::claim(port?, 2) });
    let (Some(s5), [Some(first), _]) = (exits.s5, control) else {
        return;
    };
    if let (0, Some((port, value))) = (first.read_u16(0) & SCI_ENABLE, exits.enable)
        // SAFETY: the port that the firmware's tables name for this value.
        && let Some(command) = unsafe { IoPorts::claim(port, 1) }
    {
        command.write_u8(0, value);
        wait(|| first.read_u16(0) & SCI_ENABLE != 0);
    }
    for (register, sleep_type) in control.into_iter().zip(s5) {
        if let Some(register) = register {
            let kept = register.read_u16(0) & !(7 << 10 | SLEEP_ENABLE);
            register.write_u16(0, kept | u16::from(sleep_type & 7) << 10 | SLEEP_ENABLE);
        }
    }
    wait(|| false);
}

/// The register of the FADT, then the chipset's, then the keyboard controller's line.
fn reset(exits: &Exits) {
    // SAFETY: the reset control register of PC chipsets; nothing runs afterwards.
    const RESET_CONTROL: IoPorts =
        unsafe { IoPorts::claim(0xcf9, 1) }.expect("below the last port");
    // SAFETY: the keyboard controller's command port; its line 0 resets the CPU.
    const KEYBOARD: IoPorts = unsafe { IoPorts::claim(0x64, 1) }.expect("below the last port");
    if let Some((Register::Port(port), value)) = exits.reset
        // SAFETY: the firmware's tables name it for this.
        && let Some(register) = unsafe { IoPorts::claim(port, 1) }
    {
        register.write_u8(0, value);
        wait(|| false);
    }
    RESET_CONTROL.write_u8(0, 0x02);
    RESET_CONTROL.write_u8(0, 0x06);
    wait(|| false);
    KEYBOARD.write_u8(0, 0xfe);
    wait(|| false);
}

/// Gives hardware some time, some ten milliseconds at least.
fn wait(is_done: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if is_done() {
            return;
        }
        cpu::pause();
    }
}
