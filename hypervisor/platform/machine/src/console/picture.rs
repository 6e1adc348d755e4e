//! The framebuffer as a canvas.

use addr::Hpa;
use handoff::PixelFormat;
use memory::Caching;
use screen::{Canvas, Rgb};

/// A mapped framebuffer of four bytes a pixel.
pub(super) struct Picture {
    pixels: *mut u32,
    width: usize,
    height: usize,
    stride: usize,
    format: PixelFormat,
}

// SAFETY: the mapping belongs to this value alone and is the same on every CPU.
unsafe impl Send for Picture {}

impl Picture {
    pub(super) fn new(framebuffer: &handoff::Framebuffer) -> Option<Self> {
        let &handoff::Framebuffer {
            base,
            len_bytes,
            width,
            height,
            stride_pixels,
            format,
        } = framebuffer;
        let needed = u64::from(stride_pixels)
            .checked_mul(u64::from(height))?
            .checked_mul(4)?;
        if needed == 0 || needed > len_bytes || width > stride_pixels {
            return None;
        }
        // SAFETY: the firmware says that the framebuffer is there; nobody else draws any more.
        let mapped =
            unsafe { memory::map_mmio(Hpa::new(base), needed, Caching::WriteCombining) }.ok()?;
        Some(Self {
            pixels: mapped.as_ptr().cast(),
            width: width as usize,
            height: height as usize,
            stride: stride_pixels as usize,
            format,
        })
    }
}

impl Canvas for Picture {
    fn width(&self) -> usize {
        self.width
    }

    fn height(&self) -> usize {
        self.height
    }

    fn put(&mut self, x: usize, y: usize, pixels: &[Rgb]) {
        if y >= self.height {
            return;
        }
        // In pairs: a framebuffer is far away, and every store is a journey.
        for (column, pair) in (x..self.width).step_by(2).zip(pixels.chunks(2)) {
            let place = self.pixels.wrapping_add(y * self.stride + column);
            let colour = |[red, green, blue]: Rgb| match self.format {
                PixelFormat::Rgb => u32::from_le_bytes([red, green, blue, 0]),
                PixelFormat::Bgr => u32::from_le_bytes([blue, green, red, 0]),
            };
            match *pair {
                [first, second] if column + 1 < self.width => {
                    let both = u64::from(colour(second)) << 32 | u64::from(colour(first));
                    let place = place.cast::<u64>();
                    if place.is_aligned() {
                        // SAFETY: both columns < width ≤ stride and y < height: within the mapped framebuffer.
                        unsafe { place.write_volatile(both) };
                    } else {
                        // SAFETY: as above.
                        unsafe { place.write_unaligned(both) };
                    }
                }
                // SAFETY: as above, for the one column.
                [first, ..] => unsafe { place.write_volatile(colour(first)) },
                [] => {}
            }
        }
    }
}
