//! The text screen as firmware leaves it. (IBM VGA: mode 3)

use guest_memory::{GuestMemory, Unbacked};
use pc_map::memory::{TEXT_SCREEN, VIDEO};

const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// A blank, light grey on black.
const BLANK: [u8; 2] = [b' ', 0x07];

/// Clears the memory of the VGA adapter and blanks its text screen.
///
/// # Errors
/// [`Unbacked`] when [`VIDEO`] is not backed with memory.
pub fn clear_screen(ram: &impl GuestMemory) -> Result<(), Unbacked> {
    ram.fill(VIDEO.start(), VIDEO.len_bytes(), 0)?;
    ram.write(TEXT_SCREEN, &BLANK.repeat(COLUMNS * ROWS))
}
