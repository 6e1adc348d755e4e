//! Reading numbers out of an image that may end anywhere.

use crate::error::LoadError;

/// A field at a fixed place of a header.
pub(crate) struct Field {
    /// Its name in the specification.
    pub(crate) name: &'static str,
    /// Where it lies in the file.
    pub(crate) offset: u64,
    /// Bytes, 1 to 8.
    pub(crate) width: u64,
}

impl Field {
    /// Reads it, if the file has it.
    pub(crate) fn read(&self, image: &[u8]) -> Result<u64, LoadError> {
        let end = self.offset + self.width;
        let bytes = image
            .get(self.offset as usize..end as usize)
            .ok_or(LoadError::Truncated {
                what: self.name,
                offset: self.offset,
                wanted_bytes: end,
                len_bytes: image.len() as u64,
            })?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Reads it and refuses what `is_good` does.
    pub(crate) fn check(
        &self,
        image: &[u8],
        is_good: impl FnOnce(u64) -> bool,
        problem: &'static str,
    ) -> Result<u64, LoadError> {
        let value = self.read(image)?;
        if is_good(value) {
            Ok(value)
        } else {
            Err(self.wrong(value, problem))
        }
    }

    pub(crate) const fn wrong(&self, value: u64, problem: &'static str) -> LoadError {
        wrong(self.name, self.offset, value, problem)
    }
}

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
        offset,
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
