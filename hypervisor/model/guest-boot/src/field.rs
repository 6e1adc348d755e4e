//! Reading numbers out of an image that may end anywhere.

use crate::error::LoadError;

/// `N` bytes at `offset`, if the image has them.
fn bytes<const N: usize>(image: &[u8], offset: u64) -> Option<[u8; N]> {
    let start = usize::try_from(offset).ok()?;
    image.get(start..start.checked_add(N)?)?.try_into().ok()
}

/// The little-endian halfword at `offset`, if the image has it.
pub(crate) fn u16_at(image: &[u8], offset: u64) -> Option<u16> {
    bytes(image, offset).map(u16::from_le_bytes)
}

/// The little-endian word at `offset`, if the image has it.
pub(crate) fn u32_at(image: &[u8], offset: u64) -> Option<u32> {
    bytes(image, offset).map(u32::from_le_bytes)
}

/// The little-endian doubleword at `offset`, if the image has it.
pub(crate) fn u64_at(image: &[u8], offset: u64) -> Option<u64> {
    bytes(image, offset).map(u64::from_le_bytes)
}

/// The little-endian word at `offset`; `what` is the thing it belongs to, for the error.
pub(crate) fn need_u32(image: &[u8], offset: u64, what: &'static str) -> Result<u32, LoadError> {
    u32_at(image, offset).ok_or(LoadError::Truncated {
        what,
        wanted_bytes: offset.saturating_add(4),
        len_bytes: image.len() as u64,
    })
}

/// A field that says something that cannot be.
pub(crate) const fn wrong(
    name: &'static str,
    offset: u64,
    value: u64,
    problem: &'static str,
) -> LoadError {
    LoadError::Field {
        name,
        offset,
        value,
        problem,
    }
}
