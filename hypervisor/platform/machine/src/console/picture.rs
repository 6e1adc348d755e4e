//! The framebuffer that the firmware left, mapped.

use addr::Hpa;
use handoff::PixelFormat;
use memory::{Caching, MappedRegisters};
use screen::{Framebuffer, PixelLayout, PixelOrder};

/// The screen's canvas.
pub(super) type Picture = Framebuffer<MappedRegisters>;

/// Maps the framebuffer; `None` for one that cannot be, or whose numbers make no sense.
pub(super) fn map(framebuffer: &handoff::Framebuffer) -> Option<Picture> {
    let layout = PixelLayout {
        width: framebuffer.width as usize,
        height: framebuffer.height as usize,
        stride: framebuffer.stride_pixels as usize,
        order: match framebuffer.format {
            PixelFormat::Rgb => PixelOrder::Rgb,
            PixelFormat::Bgr => PixelOrder::Bgr,
        },
    };
    let needed = layout.len_bytes()? as u64;
    if needed > framebuffer.len_bytes {
        return None;
    }
    let base = Hpa::new(framebuffer.base);
    // SAFETY: the firmware says that the framebuffer is there; nobody else draws any more.
    let memory = unsafe { MappedRegisters::map(base, needed, Caching::WriteCombining) }.ok()?;
    Framebuffer::new(memory, layout)
}
