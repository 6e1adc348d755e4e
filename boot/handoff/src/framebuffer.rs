//! The screen the firmware set up. (UEFI 2.10 section 12.9)

/// The order of the colours in a pixel of four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum PixelFormat {
    /// Red in the lowest byte, then green, blue, nothing.
    Rgb = 1,
    /// Blue in the lowest byte, then green, red, nothing.
    Bgr = 2,
}

/// A linear framebuffer of four bytes a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Its physical address; within the direct map.
    pub base: u64,
    /// Its size; at least `stride_pixels * height * 4`.
    pub len_bytes: u64,
    /// Pixels in a visible line.
    pub width: u32,
    /// Visible lines.
    pub height: u32,
    /// Pixels from the start of one line to the start of the next.
    pub stride_pixels: u32,
    /// The order of the colours.
    pub format: PixelFormat,
}

/// A framebuffer as it is stored. A format of 0 says there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawFramebuffer {
    base: u64,
    len_bytes: u64,
    width: u32,
    height: u32,
    stride_pixels: u32,
    format: u32,
}

impl From<Option<Framebuffer>> for RawFramebuffer {
    fn from(screen: Option<Framebuffer>) -> Self {
        let Some(Framebuffer {
            base,
            len_bytes,
            width,
            height,
            stride_pixels,
            format,
        }) = screen
        else {
            return Self::default();
        };
        Self {
            base,
            len_bytes,
            width,
            height,
            stride_pixels,
            format: format as u32,
        }
    }
}

impl RawFramebuffer {
    /// The framebuffer, if there is one that its own numbers do not contradict.
    #[must_use]
    pub fn decode(&self) -> Option<Framebuffer> {
        let Self {
            base,
            len_bytes,
            width,
            height,
            stride_pixels,
            format,
        } = *self;
        let format = match format {
            1 => PixelFormat::Rgb,
            2 => PixelFormat::Bgr,
            _ => return None,
        };
        let needed_bytes = u64::from(stride_pixels)
            .checked_mul(u64::from(height))?
            .checked_mul(4)?;
        let fits = needed_bytes <= len_bytes
            && width <= stride_pixels
            && base.checked_add(len_bytes).is_some();
        (fits && needed_bytes > 0).then_some(Framebuffer {
            base,
            len_bytes,
            width,
            height,
            stride_pixels,
            format,
        })
    }
}
