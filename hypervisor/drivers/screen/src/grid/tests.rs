extern crate std;
use super::*;

/// Two rows of text and the status line.
fn typed(text: &str) -> Grid {
    let mut grid = Grid::new(4, 3);
    for symbol in text.chars() {
        match symbol {
            '\n' => {
                grid.go(0, grid.row());
                grid.line_feed();
            }
            symbol => grid.put(symbol),
        }
    }
    grid
}

#[test]
fn long_lines_wrap_and_the_top_scrolls_away() {
    assert_eq!(typed("abcdef").lines(), ["abcd", "ef  ", "    "]);
    assert_eq!(typed("a\nb\nc").lines(), ["b   ", "c   ", "    "]);
}

#[test]
fn scrolling_redraws_only_cells_that_changed() {
    let mut grid = typed("a\na");
    while grid.next_stale(&mut 100).is_some() {}
    grid.go(0, 1);
    grid.line_feed();
    grid.put('a');
    // Both rows start with an a again, and the cursor stands where it stood.
    assert_eq!(grid.next_stale(&mut 100), None);
}

#[test]
fn a_flood_of_colours_ends_and_later_ones_are_seen() {
    use terminal::Colour;
    let mut grid = typed("");
    for number in 0..40_000u32 {
        let [low, middle, high, _] = number.to_le_bytes();
        grid.attributes.ink = Colour::Rgb(low, middle, high);
        grid.put('x');
    }
    grid.go(0, 0);
    grid.attributes.ink = Colour::Indexed(3);
    grid.put('y');
    let cell = core::iter::from_fn(|| grid.next_stale(&mut 1000))
        .find(|(_, _, cell)| cell.symbol == 'y')
        .map(|(_, _, cell)| cell.attributes.ink);
    assert_eq!(cell, Some(Colour::Indexed(3)));
}

#[test]
fn the_status_line_stays_while_text_scrolls() {
    let mut grid = typed("a\nb");
    grid.set_status("1234567", Attributes::default());
    grid.line_feed();
    assert_eq!(grid.lines(), ["b   ", "    ", "1234"]);
    while grid.next_stale(&mut 100).is_some() {}
    grid.set_status("1234567", Attributes::default());
    assert!(!grid.has_stale());
}
