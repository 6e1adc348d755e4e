//! Guests on their text screens, seen and typed at by the operator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::guest::{self, Guest};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::screen::Screen;
use crate::test_machine::TestMachine;

/// Our own guest: writes the codes of its keyboard on the screen.
const SCREEN: &str = "screen";
/// Where it writes them.
const CODES_ROW: u16 = 2;

/// Keys as a terminal sends them, and the codes of set 1 that the guest must see.
const KEYS: [(&str, &str); 8] = [
    ("a", "1e 9e"),
    ("A", "2a 1e 9e aa"),
    ("\r", "1c 9c"),
    ("\x1b[A", "e0 48 e0 c8"),
    ("\x1bOP", "3b bb"),
    ("\x1b[15~", "3f bf"),
    ("\x03", "1d 2e ae 9d"),
    ("\x1bx", "38 2d ad b8"),
];

const OURS: [&str; 4] = [
    "screen/text-and-colours",
    "screen/cursor",
    "screen/keys",
    "screen/switch-to-serial-and-back",
];

/// Boots our own guest.
pub fn ours(bed: Bed, seconds: u32) -> Boot {
    Boot::new(bed, "screen", seconds, OURS, |story_run| {
        let text =
            config::host(false) + &Vm::test_guest(SCREEN).line("console = \"screen\"").text();
        let image = story_run.parts.image(&text);
        let image = image.file(
            &config::on_volume(SCREEN),
            &story_run.parts.test_guest(SCREEN),
        );
        let mut test_machine = story_run.start(&image, Shape::default())?;
        let mut screen = Screen::new();
        screen.wait(&mut test_machine, "title", 60, |screen| {
            screen.text().contains("SCREEN UP")
        })?;
        // The title may come before the rest of the picture does.
        let is_whole =
            |screen: &Screen| picture(screen).is_ok() && screen.cursor() == (CODES_ROW, 0);
        let _ = screen.wait(&mut test_machine, "whole picture", 10, is_whole);
        story_run.verdict(OURS[0], picture(&screen));
        let cursor = screen.cursor();
        let is_there = (|| {
            ensure!(cursor == (CODES_ROW, 0), "the cursor is at {cursor:?}");
            Ok(())
        })();
        story_run.verdict(OURS[1], is_there);
        story_run.verdict(OURS[2], keys(&mut test_machine, &mut screen));
        story_run.verdict(OURS[3], there_and_back(&mut test_machine, &mut screen));
        Ok(())
    })
}

fn picture(screen: &Screen) -> Result<()> {
    let frame = [screen.row(0), screen.row(1)].map(|row| row.chars().take(4).collect::<String>());
    ensure!(frame == ["┌──┐", "└──┘"], "the frame is {frame:?}");
    let cell = screen.cell(0, 6);
    // Blue, behind the title's first letter.
    let wanted = Some(("S".to_owned(), vt100::Color::Idx(4)));
    ensure!(cell == wanted, "the title begins with {cell:?}");
    Ok(())
}

fn keys(test_machine: &mut TestMachine, screen: &mut Screen) -> Result<()> {
    let mut all: Vec<&str> = Vec::new();
    for (typed, codes) in KEYS {
        test_machine.machine.send(typed)?;
        all.extend(codes.split(' '));
        // The guest writes 26 codes in a row and begins again.
        let shown = all.chunks(26).next_back().unwrap_or_default().join(" ");
        screen
            .wait(test_machine, &shown, 20, |screen| {
                screen.row(CODES_ROW).starts_with(&shown)
            })
            .with_context(|| format!("typed {typed:?}"))?;
    }
    Ok(())
}

/// Away from the screen, to the serial port, and back: the screen is drawn anew.
fn there_and_back(test_machine: &mut TestMachine, screen: &mut Screen) -> Result<()> {
    test_machine.open_prompt()?;
    test_machine.type_line(&format!("attach {SCREEN} serial"))?;
    test_machine.expect("console of vm ", 10)?;
    test_machine.open_prompt()?;
    test_machine.type_line(&format!("attach {SCREEN} screen"))?;
    test_machine.expect("screen of vm ", 10)?;
    *screen = Screen::new();
    screen.wait(test_machine, "title again", 20, |screen| {
        screen.row(0).starts_with("┌──┐  SCREEN UP")
    })
}

/// A guest by others, on its text screen. Where there is more than one CPU it gets the last one, and the operator keeps the first.
fn start(story_run: &StoryRun<'_>, guest: &Guest) -> Result<TestMachine> {
    let affinity = match story_run.bed().cpus {
        1 => String::new(),
        cpus => format!("cpu-affinity = [{}]\n", cpus - 1),
    };
    let text = config::host(false) + &guest.vm_section() + &affinity;
    let image = story_run.parts.image(&text).guest(guest);
    story_run.start(&image, Shape::of(story_run.bed()))
}

/// Boots memtest86+, by this recipe, looks at its screen and opens its menu.
///
/// It computes with interrupts disabled and with hardly an exit. Bochs then keeps the hypervisor's timer waiting, too: with one CPU the
/// operator would see nothing for minutes, so it is given two there.
pub fn memtest(bed: Bed, recipe: &'static str, seconds: u32) -> Boot {
    let tests = ["tests-memory", "menu-opens-by-key", "menu-closes-by-key"]
        .map(|test| format!("{recipe}/{test}"));
    let [runs, opens, closes] = tests.clone();
    Boot::new(bed, recipe, seconds, tests, move |story_run| {
        let mut test_machine = start(story_run, &guest::fetch(recipe)?)?;
        let mut screen = Screen::new();
        screen.wait(&mut test_machine, "memtest86+", 60, |screen| {
            screen.row(0).contains("Memtest86+ v")
        })?;
        let runs_on = screen.wait(
            &mut test_machine,
            "test behind the first",
            120,
            is_past_first,
        );
        story_run.verdict(&runs, runs_on);
        test_machine.machine.send("\x1bOP")?;
        let menu = |screen: &Screen| screen.text().contains("Settings:");
        story_run.verdict(&opens, screen.wait(&mut test_machine, "menu", 60, menu));
        test_machine.machine.send("0")?;
        story_run.verdict(
            &closes,
            screen.wait(&mut test_machine, "end of the menu", 60, |screen| {
                !menu(screen)
            }),
        );
        Ok(())
    })
}

/// Whether a test behind number 0 runs, and none has found an error.
fn is_past_first(screen: &Screen) -> bool {
    let text = screen.text();
    let runs = |number| text.contains(&format!("Test #{number} "));
    (1..=10).any(runs) && text.contains("Errors: 0")
}

const GAME: &str = "invaders";
/// Its ship's lower half.
const SHIP: &str = "/ \\";

/// Boots GRUB Invaders and plays it a little.
pub fn invaders(bed: Bed, seconds: u32) -> Boot {
    let tests = ["invaders/enemies-move", "invaders/ship-moves-by-keys"];
    Boot::new(bed, GAME, seconds, tests, move |story_run| {
        let mut test_machine = start(story_run, &guest::fetch(GAME)?)?;
        let mut screen = Screen::new();
        screen.wait(&mut test_machine, "enemies", 60, |screen| {
            screen.text().contains("-*-")
        })?;
        let before = screen.text();
        let moves = screen.wait(&mut test_machine, "movement", 20, |screen| {
            screen.text() != before
        });
        story_run.verdict(tests[0], moves);
        story_run.verdict(tests[1], ship_moves(&mut test_machine, &mut screen));
        Ok(())
    })
}

/// Moves the ship to the left, and back to the right.
fn ship_moves(test_machine: &mut TestMachine, screen: &mut Screen) -> Result<()> {
    screen.wait(test_machine, "ship", 20, |screen| ship(screen).is_some())?;
    let start = ship(screen).context("it was there")?;
    press_until(test_machine, screen, "\x1b[D", |ship| ship + 3 <= start)?;
    press_until(test_machine, screen, "\x1b[C", |ship| ship >= start)
}

/// Presses a key until the ship is where it should be.
fn press_until(
    test_machine: &mut TestMachine,
    screen: &mut Screen,
    key: &str,
    is_there: impl Fn(usize) -> bool,
) -> Result<()> {
    let until = Instant::now() + test_machine.bed.patience(20);
    while Instant::now() < until {
        test_machine.machine.send(key)?;
        // As fast as a terminal repeats at most: an emulated machine may be slow.
        std::thread::sleep(Duration::from_millis(100));
        screen.look(test_machine, Duration::from_millis(100));
        if ship(screen).is_some_and(&is_there) {
            return Ok(());
        }
    }
    bail!("the ship does not follow {key:?}:\n{}", screen.text())
}

/// The column of the ship's left side.
fn ship(screen: &Screen) -> Option<usize> {
    let text = screen.text();
    text.lines().rev().find_map(|row| row.find(SHIP))
}
