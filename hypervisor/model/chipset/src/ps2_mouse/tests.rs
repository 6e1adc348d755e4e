//! Tests of what drivers expect of the mouse.

use super::*;
use alloc::vec::Vec;

/// Later than any report may be.
const LATER_NS: u64 = SECOND_NS;

/// A mouse and the time it has.
struct Desk {
    mouse: Mouse,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        Self {
            mouse: Mouse::new(),
            now: Instant::from_ns(0),
        }
    }

    /// All that leaves now.
    fn read(&mut self) -> Vec<u8> {
        core::iter::from_fn(|| self.mouse.next_byte(self.now)).collect()
    }

    /// All that leaves when the next report may.
    fn report(&mut self) -> Vec<u8> {
        self.now = self.now.after_ns(LATER_NS);
        self.read()
    }

    /// Sends these bytes and returns all answers to them, together.
    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answers = Vec::new();
        for byte in bytes {
            self.mouse.command(*byte);
            answers.extend(self.read());
        }
        answers
    }
}

/// To the right, and upwards.
type Movement = (i32, i32);

const LEFT: MouseButtons = MouseButtons {
    left: true,
    right: false,
    middle: false,
    back: false,
    forward: false,
};
const NONE: MouseButtons = MouseButtons {
    left: false,
    ..LEFT
};

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |digits| u8::from_str_radix(digits, 16).expect("two digits");
    hex.split_whitespace().map(byte).collect()
}

#[test]
fn every_command_is_answered_as_the_table_says() {
    // Bytes to the mouse, and from it.
    let table = [
        ("reset", "ff", "fa aa 00"),
        ("resend, before anything", "fe", "aa 00"),
        ("resend of an answer", "f4 fe", "fa fa"),
        ("resend of data", "f2 fe fe", "fa 00 00 00"),
        ("resend of a status", "e9 fe", "fa 00 02 64 00 02 64"),
        ("defaults", "f6 e9", "fa fa 00 02 64"),
        ("disable", "f4 f5 e9", "fa fa fa 00 02 64"),
        ("enable", "f4 e9", "fa fa 20 02 64"),
        ("sample rate", "f3 28 e9", "fa fa fa 00 02 28"),
        ("no such rate", "f3 29 3c e9", "fa fe fa fa 00 02 3c"),
        ("identify", "f2", "fa 00"),
        ("remote", "f0 e9", "fa fa 40 02 64"),
        ("wrap", "ee 12 f4 ee ec e9", "fa 12 f4 ee fa fa 00 02 64"),
        ("reset out of wrap", "ee ff f2", "fa fa aa 00 fa 00"),
        ("no wrap to end", "ec", "fa"),
        ("read data", "eb", "fa 08 00 00"),
        ("stream", "f0 ea e9", "fa fa fa 00 02 64"),
        ("status", "e9", "fa 00 02 64"),
        ("resolution", "e8 03 e9", "fa fa fa 00 03 64"),
        ("no such resolution", "e8 04 00 e9", "fa fe fa fa 00 00 64"),
        ("scaling 2:1", "e7 e9", "fa fa 10 02 64"),
        ("scaling 1:1", "e7 e6 e9", "fa fa fa 00 02 64"),
        (
            "defaults after all that",
            "f4 e7 e8 00 f3 0a f0 f6 e9",
            "fa fa fa fa fa fa fa fa fa 00 02 64",
        ),
        ("a command for a parameter", "f3 f2 28", "fa fa 00 fe"),
        ("no such command", "00 e5 ed f7 fd", "fe fe fe fe fe"),
        ("a wheel", "f3 c8 f3 64 f3 50 f2", "fa fa fa fa fa fa fa 03"),
        (
            "its data",
            "f3 c8 f3 64 f3 50 eb",
            "fa fa fa fa fa fa fa 08 00 00 00",
        ),
        (
            "five buttons",
            "f3 c8 f3 c8 f3 50 f2",
            "fa fa fa fa fa fa fa 04",
        ),
    ];
    for (name, said, answers) in table {
        let got = Desk::new().say(&bytes(said));
        assert_eq!(got, bytes(answers), "{name}: {got:x?}");
    }
}

#[test]
fn other_commands_between_the_rates_keep_the_wheel_away() {
    let mut desk = Desk::new();
    desk.say(&[0xf3, 200, 0xf3, 100, 0xf4, 0xf3, 80]);
    assert_eq!(desk.say(&[0xf2]), [0xfa, 0]);
    desk.say(&[0xf3, 200, 0xf3, 100, 0xf3, 80]);
    assert_eq!(desk.say(&[0xf6, 0xf2]), [0xfa, 0xfa, 3]);
    assert_eq!(desk.say(&[0xff, 0xf2]), [0xfa, 0xaa, 0, 0xfa, 0]);
}

#[test]
fn reports_have_signs_and_keep_what_does_not_fit() {
    // Movement, then the reports it makes.
    let table: [(Movement, &[[u8; 3]]); 9] = [
        ((1, 2), &[[0x08, 1, 2]]),
        ((-1, 2), &[[0x18, 0xff, 2]]),
        ((1, -2), &[[0x28, 1, 0xfe]]),
        ((255, -255), &[[0x28, 0xff, 0x01]]),
        ((256, 0), &[[0x08, 0xff, 0], [0x08, 1, 0]]),
        (
            (-300, 600),
            &[[0x18, 0x01, 0xff], [0x18, 211, 0xff], [0x08, 0, 90]],
        ),
        // At the bound of its counter an axis says overflow.
        (
            (1019, 0),
            &[
                [0x08, 0xff, 0],
                [0x08, 0xff, 0],
                [0x08, 0xff, 0],
                [0x08, 0xfe, 0],
            ],
        ),
        (
            (0, -1020),
            &[[0xa8, 0, 1], [0x28, 0, 1], [0x28, 0, 1], [0x28, 0, 1]],
        ),
        (
            (i32::MAX, i32::MIN),
            &[
                [0xe8, 0xff, 1],
                [0x28, 0xff, 1],
                [0x28, 0xff, 1],
                [0x28, 0xff, 1],
            ],
        ),
    ];
    for ((right, up), reports) in table {
        let mut desk = Desk::new();
        desk.say(&[0xf4]);
        desk.mouse.count(right, up, 0);
        for report in reports {
            assert_eq!(desk.report(), report, "{right}, {up}");
        }
        assert_eq!(desk.report(), [], "{right}, {up}");
    }
}

#[test]
fn scaling_doubles_in_stream_mode_only() {
    let scaled = [
        (1, 1),
        (2, 1),
        (3, 3),
        (4, 6),
        (5, 9),
        (6, 12),
        (-2, -1),
        (-5, -9),
        (-100, -200),
    ];
    for (counts, wanted) in scaled {
        let mut desk = Desk::new();
        desk.say(&[0xe7, 0xf4]);
        desk.mouse.count(counts, 0, 0);
        let report = desk.report();
        let got = i32::from(report[1]) - i32::from(report[0] & 0x10) * 16;
        assert_eq!(got, wanted, "{counts}");
        desk.mouse.count(counts, 0, 0);
        assert_eq!(desk.say(&[0xeb])[2], counts as u8);
    }
    let mut desk = Desk::new();
    desk.say(&[0xe7, 0xf4]);
    desk.mouse.count(130, 0, 0);
    assert_eq!(
        (desk.report(), desk.report()),
        (Vec::from([8, 254, 0]), Vec::from([8, 3, 0]))
    );
}

#[test]
fn the_wheel_and_the_side_buttons_are_in_the_fourth_byte() {
    let all = MouseButtons {
        left: true,
        right: true,
        middle: true,
        back: true,
        forward: true,
    };
    for (rates, reports) in [
        ([10, 10, 10], [Vec::from([0x0f, 0, 0]), Vec::new()]),
        (
            [200, 100, 80],
            [Vec::from([0x0f, 0, 0, 0xf8]), Vec::from([0x0f, 0, 0, 0xff])],
        ),
        (
            [200, 200, 80],
            [Vec::from([0x0f, 0, 0, 0x38]), Vec::from([0x0f, 0, 0, 0x3f])],
        ),
    ] {
        let mut desk = Desk::new();
        for rate in rates {
            desk.say(&[0xf3, rate]);
        }
        desk.say(&[0xf4]);
        desk.mouse.set_buttons(all);
        desk.mouse.count(0, 0, -9);
        assert_eq!([desk.report(), desk.report()], reports, "{rates:?}");
        assert_eq!(desk.report(), []);
    }
}

#[test]
fn buttons_are_in_the_status_by_their_own_order() {
    let mut desk = Desk::new();
    for (buttons, status) in [
        (LEFT, 4),
        (
            MouseButtons {
                middle: true,
                ..NONE
            },
            2,
        ),
        (
            MouseButtons {
                right: true,
                ..NONE
            },
            1,
        ),
        (
            MouseButtons {
                back: true,
                forward: true,
                ..NONE
            },
            0,
        ),
    ] {
        desk.mouse.set_buttons(buttons);
        assert_eq!(desk.say(&[0xe9]), [0xfa, status, 2, 100]);
    }
}

#[test]
fn a_click_between_two_reports_is_not_lost() {
    let mut desk = Desk::new();
    desk.say(&[0xf4]);
    desk.mouse.set_buttons(LEFT);
    desk.mouse.set_buttons(NONE);
    assert_eq!(desk.report(), [0x09, 0, 0]);
    assert_eq!(desk.report(), [0x08, 0, 0]);
    assert_eq!(desk.report(), []);
}

#[test]
fn a_report_that_is_cut_short_tells_its_buttons_again() {
    let mut desk = Desk::new();
    desk.say(&[0xf4]);
    desk.mouse.set_buttons(LEFT);
    assert_eq!(desk.mouse.next_byte(desk.now), Some(0x09));
    assert_eq!(desk.say(&[0xf5, 0xf4]), [0xfa, 0xfa]);
    assert_eq!(desk.report(), [0x09, 0, 0]);
}

#[test]
fn nothing_leaves_before_it_is_wanted() {
    let mut desk = Desk::new();
    desk.mouse.count(9, 9, 0);
    assert_eq!(
        (desk.report(), desk.mouse.next_byte_at()),
        (Vec::new(), None)
    );
    // Enabling begins to count anew.
    assert_eq!(desk.say(&[0xf4]), [0xfa]);
    assert_eq!(desk.report(), []);
    // Nor in wrap and remote mode; there, when asked.
    for (enter, leave) in [(0xee, 0xec), (0xf0, 0xea)] {
        desk.say(&[enter]);
        desk.mouse.count(9, 9, 0);
        assert_eq!(desk.report(), []);
        desk.say(&[leave]);
        assert_eq!(desk.report(), []);
        desk.mouse.count(1, 0, 0);
        assert_eq!(desk.report(), [0x08, 1, 0]);
    }
    desk.say(&[0xf0]);
    desk.mouse.count(9, -9, 0);
    assert_eq!(
        desk.say(&[0xeb, 0xeb]),
        [0xfa, 0x28, 9, 0xf7, 0xfa, 0x08, 0, 0]
    );
}

#[test]
fn a_report_is_sent_again_on_demand() {
    let mut desk = Desk::new();
    desk.say(&[0xf4]);
    desk.mouse.count(7, 0, 0);
    assert_eq!(desk.report(), [0x08, 7, 0]);
    assert_eq!(desk.say(&[0xfe, 0xfe]), [0x08, 7, 0, 0x08, 7, 0]);
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let mut mouse = Mouse::new();
    for _ in 0..1000 {
        for value in 0..=0xff {
            mouse.command(value);
        }
    }
    let mut left = 0;
    while mouse.next_byte(Instant::from_ns(0)).is_some() {
        left += 1;
    }
    assert!(left <= 16, "{left}");
}

#[test]
fn a_saved_state_that_no_mouse_had_is_refused() {
    let now = Instant::from_ns(0);
    let mouse = |change: fn(&mut Mouse)| {
        let mut mouse = Mouse::new();
        change(&mut mouse);
        mouse.check(now)
    };
    assert!(mouse(|_| {}).is_ok());
    assert!(mouse(|mouse| mouse.rate = 0).is_err());
    assert!(mouse(|mouse| mouse.rates[1] = 30).is_err());
    assert!(mouse(|mouse| mouse.resolution = 4).is_err());
    assert!(mouse(|mouse| mouse.report_at = Instant::from_ns(SECOND_NS)).is_err());
}
