//! A linear framebuffer of four bytes a pixel as a canvas.

use hardware::Registers;

use crate::{Canvas, Rgb};

/// The order of the colours in a pixel, from its first byte on; the fourth byte is unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Layout of the pixels in a framebuffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelLayout {
    /// Pixels in a visible line.
    pub width: usize,
    /// Visible lines.
    pub height: usize,
    /// Pixels from the start of one line to the start of the next.
    pub stride: usize,
    /// The order of the colours.
    pub order: PixelOrder,
}

impl PixelLayout {
    /// Returns how many bytes of memory it takes; `None` for a layout without a pixel, or one whose
    /// lines overlap.
    #[must_use]
    pub fn len_bytes(&self) -> Option<usize> {
        let bytes = self.stride.checked_mul(self.height)?.checked_mul(PIXEL)?;
        (bytes != 0 && self.width <= self.stride).then_some(bytes)
    }
}

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// A framebuffer. It is written only.
#[derive(Debug)]
pub struct Framebuffer<R> {
    memory: R,
    layout: PixelLayout,
}

impl<R: Registers> Framebuffer<R> {
    /// A canvas in `memory`; `None` if that is too small for the layout.
    pub fn new(memory: R, layout: PixelLayout) -> Option<Self> {
        (layout.len_bytes()? <= memory.len_bytes()).then_some(Self { memory, layout })
    }

    fn colour(&self, [red, green, blue]: Rgb) -> u32 {
        match self.layout.order {
            PixelOrder::Rgb => u32::from_le_bytes([red, green, blue, 0]),
            PixelOrder::Bgr => u32::from_le_bytes([blue, green, red, 0]),
        }
    }

    fn put_one(&self, at: usize, pixel: Rgb) {
        // Within the memory, as `new` has found; aligned, or nothing is drawn.
        let _ = self.memory.write_u32(at, self.colour(pixel));
    }
}

impl<R: Registers> Canvas for Framebuffer<R> {
    fn width(&self) -> usize {
        self.layout.width
    }

    fn height(&self) -> usize {
        self.layout.height
    }

    fn put(&mut self, x: usize, y: usize, pixels: &[Rgb]) {
        let PixelLayout {
            width,
            height,
            stride,
            order: _,
        } = self.layout;
        if y >= height {
            return;
        }
        // In pairs: a framebuffer is far away, and every store is a journey.
        for (column, pair) in (x..width).step_by(2).zip(pixels.chunks(2)) {
            let at = (y * stride + column) * PIXEL;
            match *pair {
                [first, second] if column + 1 < width => {
                    let both = u64::from(self.colour(second)) << 32 | u64::from(self.colour(first));
                    // A pair that is not aligned as one takes two stores.
                    if self.memory.write_u64(at, both).is_err() {
                        self.put_one(at, first);
                        self.put_one(at + PIXEL, second);
                    }
                }
                [first, ..] => self.put_one(at, first),
                [] => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use hardware::{Access, TestRegisters};
    use std::vec::Vec;

    const LAYOUT: PixelLayout = PixelLayout {
        width: 5,
        height: 2,
        stride: 7,
        order: PixelOrder::Bgr,
    };

    const DOTS: [Rgb; 6] = [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
        [10, 11, 12],
        [13; 3],
        [14; 3],
    ];

    fn memory() -> TestRegisters {
        TestRegisters::new(7 * 2 * 4)
    }

    /// The pixels of a line, the unseen ones included.
    fn line(memory: &TestRegisters, y: usize) -> Vec<u32> {
        (y * 7..(y + 1) * 7)
            .map(|pixel| memory.read_u32(pixel * 4).expect("within the memory"))
            .collect()
    }

    #[test]
    fn pixels_land_in_their_line_and_are_cut_at_its_end() {
        // From an even and from an odd column: in pairs, and one by one.
        for x in [0, 1, 4] {
            let memory = memory();
            let mut canvas = Framebuffer::new(&memory, LAYOUT).expect("it fits");
            canvas.put(x, 1, &DOTS);
            let mut expected = std::vec![0; 7];
            for (slot, [red, green, blue]) in expected[x..5].iter_mut().zip(DOTS) {
                *slot = u32::from_le_bytes([blue, green, red, 0]);
            }
            assert_eq!(line(&memory, 1), expected, "from {x}");
            assert_eq!(line(&memory, 0), [0; 7]);
        }
    }

    #[test]
    fn an_aligned_pair_is_one_store() {
        let memory = memory();
        let mut canvas = Framebuffer::new(&memory, LAYOUT).expect("it fits");
        canvas.put(0, 0, &DOTS[..4]);
        let stores = memory.take_accesses();
        assert_eq!(stores.len(), 2);
        assert!(
            stores
                .iter()
                .all(|store| matches!(store, Access::Write { .. })),
            "reading from a framebuffer is slow"
        );
    }

    #[test]
    fn what_lies_outside_is_dropped() {
        let memory = memory();
        let mut canvas = Framebuffer::new(&memory, LAYOUT).expect("it fits");
        for (x, y) in [(5, 0), (0, 2), (usize::MAX, 0), (0, usize::MAX)] {
            canvas.put(x, y, &DOTS);
        }
        assert_eq!(memory.take_accesses(), []);
    }

    #[test]
    fn the_order_of_colours_is_kept() {
        let memory = memory();
        let layout = PixelLayout {
            order: PixelOrder::Rgb,
            ..LAYOUT
        };
        let mut canvas = Framebuffer::new(&memory, layout).expect("it fits");
        canvas.put(0, 0, &DOTS[..1]);
        assert_eq!(memory.read_u32(0), Ok(0x0003_0201));
    }

    #[test]
    fn a_layout_that_does_not_fit_is_refused() {
        let refused = |layout| Framebuffer::new(&memory(), layout).is_none();
        assert!(!refused(LAYOUT));
        assert!(refused(PixelLayout {
            height: 3,
            ..LAYOUT
        }));
        assert!(refused(PixelLayout { width: 8, ..LAYOUT }));
        assert!(refused(PixelLayout {
            height: 0,
            ..LAYOUT
        }));
        let huge = usize::MAX / 2;
        assert!(refused(PixelLayout {
            stride: huge,
            ..LAYOUT
        }));
    }
}
