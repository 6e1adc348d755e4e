//! Guests on their text screens, seen and typed at by the operator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::guest::{self, Guest};

use crate::beds::{Bed, Shape};
use crate::boot::{Boot, Stage};
use crate::config::{self, Vm};
use crate::rig::Rig;
use crate::screen::Screen;

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
    Boot::new(bed, "screen", seconds, OURS, |stage| {
        let text =
            config::host(false) + &Vm::test_guest(SCREEN).line("console = \"screen\"").text();
        let image = stage.parts.image(&text);
        let image = image.file(&config::on_volume(SCREEN), &stage.parts.test_guest(SCREEN));
        let mut rig = stage.start(&image, Shape::default())?;
        let mut screen = Screen::new();
        screen.wait(&mut rig, "title", 60, |screen| {
            screen.text().contains("SCREEN UP")
        })?;
        // The title may come before the rest of the picture does.
        let is_whole =
            |screen: &Screen| picture(screen).is_ok() && screen.cursor() == (CODES_ROW, 0);
        let _ = screen.wait(&mut rig, "whole picture", 10, is_whole);
        stage.verdict(OURS[0], picture(&screen));
        let cursor = screen.cursor();
        let is_there = (|| {
            ensure!(cursor == (CODES_ROW, 0), "the cursor is at {cursor:?}");
            Ok(())
        })();
        stage.verdict(OURS[1], is_there);
        stage.verdict(OURS[2], keys(&mut rig, &mut screen));
        stage.verdict(OURS[3], there_and_back(&mut rig, &mut screen));
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

fn keys(rig: &mut Rig, screen: &mut Screen) -> Result<()> {
    let mut all: Vec<&str> = Vec::new();
    for (typed, codes) in KEYS {
        rig.machine.send(typed)?;
        all.extend(codes.split(' '));
        // The guest writes 26 codes in a row and begins again.
        let shown = all.chunks(26).next_back().unwrap_or_default().join(" ");
        screen
            .wait(rig, &shown, 20, |screen| {
                screen.row(CODES_ROW).starts_with(&shown)
            })
            .with_context(|| format!("typed {typed:?}"))?;
    }
    Ok(())
}

/// Away from the screen, to the serial port, and back: the screen is drawn anew.
fn there_and_back(rig: &mut Rig, screen: &mut Screen) -> Result<()> {
    rig.open_prompt()?;
    rig.type_line(&format!("attach {SCREEN} serial"))?;
    rig.expect("console of vm ", 10)?;
    rig.open_prompt()?;
    rig.type_line(&format!("attach {SCREEN} screen"))?;
    rig.expect("screen of vm ", 10)?;
    *screen = Screen::new();
    screen.wait(rig, "title again", 20, |screen| {
        screen.row(0).starts_with("┌──┐  SCREEN UP")
    })
}

/// A guest by others, on its text screen. Where there is more than one CPU it gets the last one, and the operator keeps the first.
fn start(stage: &Stage<'_>, guest: &Guest) -> Result<Rig> {
    let affinity = match stage.bed().cpus {
        1 => String::new(),
        cpus => format!("cpu-affinity = [{}]\n", cpus - 1),
    };
    let text = config::host(false) + &guest.vm_section() + &affinity;
    let image = stage.parts.image(&text).guest(guest);
    stage.start(&image, Shape::of(stage.bed()))
}

/// Boots memtest86+, by this recipe, looks at its screen and opens its menu.
///
/// It computes with interrupts disabled and with hardly an exit. Bochs then keeps the hypervisor's timer waiting, too: with one CPU the
/// operator would see nothing for minutes, so it is given two there.
pub fn memtest(bed: Bed, recipe: &'static str, seconds: u32) -> Boot {
    let tests = ["tests-memory", "menu-opens-by-key", "menu-closes-by-key"]
        .map(|test| format!("{recipe}/{test}"));
    let [runs, opens, closes] = tests.clone();
    Boot::new(bed, recipe, seconds, tests, move |stage| {
        let mut rig = start(stage, &guest::fetch(recipe)?)?;
        let mut screen = Screen::new();
        screen.wait(&mut rig, "memtest86+", 60, |screen| {
            screen.row(0).contains("Memtest86+ v")
        })?;
        let runs_on = screen.wait(&mut rig, "test behind the first", 120, is_past_first);
        stage.verdict(&runs, runs_on);
        rig.machine.send("\x1bOP")?;
        let menu = |screen: &Screen| screen.text().contains("Settings:");
        stage.verdict(&opens, screen.wait(&mut rig, "menu", 60, menu));
        rig.machine.send("0")?;
        stage.verdict(
            &closes,
            screen.wait(&mut rig, "end of the menu", 60, |screen| !menu(screen)),
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
    Boot::new(bed, GAME, seconds, tests, move |stage| {
        let mut rig = start(stage, &guest::fetch(GAME)?)?;
        let mut screen = Screen::new();
        screen.wait(&mut rig, "enemies", 60, |screen| {
            screen.text().contains("-*-")
        })?;
        let before = screen.text();
        let moves = screen.wait(&mut rig, "movement", 20, |screen| screen.text() != before);
        stage.verdict(tests[0], moves);
        stage.verdict(tests[1], ship_moves(&mut rig, &mut screen));
        Ok(())
    })
}

/// Moves the ship to the left, and back to the right.
fn ship_moves(rig: &mut Rig, screen: &mut Screen) -> Result<()> {
    screen.wait(rig, "ship", 20, |screen| ship(screen).is_some())?;
    let start = ship(screen).context("it was there")?;
    press_until(rig, screen, "\x1b[D", |ship| ship + 3 <= start)?;
    press_until(rig, screen, "\x1b[C", |ship| ship >= start)
}

/// Presses a key until the ship is where it should be.
fn press_until(
    rig: &mut Rig,
    screen: &mut Screen,
    key: &str,
    is_there: impl Fn(usize) -> bool,
) -> Result<()> {
    let until = Instant::now() + rig.bed.patience(20);
    while Instant::now() < until {
        rig.machine.send(key)?;
        // As fast as a terminal repeats at most: an emulated machine may be slow.
        std::thread::sleep(Duration::from_millis(100));
        screen.look(rig, Duration::from_millis(100));
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
