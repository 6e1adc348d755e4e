//! The form of a saved VM: a header, then sections.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `CAISSON` and a zero |
//! | 4 | the form: 2 |
//!
//! and of each section, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | length of its name |
//! | … | its name, ASCII |
//! | 4 | its version |
//! | 8 | length of its content, at most 1 MiB |
//! | … | its content |
//!
//! The last section is called `end` and is empty. Form 1 had no sections; nothing reads it any more.

use super::RestoreError;
use alloc::vec::Vec;

/// First bytes of a saved VM, whatever its form.
const MAGIC: [u8; 8] = *b"CAISSON\0";
/// The form without sections.
const OLD_FORM: u32 = 1;
/// This form.
const FORM: u32 = 2;
/// No section is longer: a reader need not be ready for more.
pub(crate) const MAX_SECTION_BYTES: u64 = 1 << 20;
/// The name of the last section.
pub(crate) const END: &str = "end";

/// A section as it lies among the bytes of a saved VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u32,
    pub(crate) bytes: &'a [u8],
}

/// Appends the header.
pub(crate) fn write_header(out: &mut Vec<u8>) {
    out.extend(MAGIC);
    out.extend(FORM.to_le_bytes());
}

/// Appends a section whose content `fill` appends.
pub(crate) fn write_section(
    out: &mut Vec<u8>,
    name: &str,
    version: u32,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    // Names are the board's and short.
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
    out.extend(version.to_le_bytes());
    let len_at = out.len();
    out.extend(0u64.to_le_bytes());
    let start = out.len();
    fill(out);
    let len_bytes = (out.len() - start) as u64;
    if let Some(place) = out.get_mut(len_at..start) {
        place.copy_from_slice(&len_bytes.to_le_bytes());
    }
}

/// Reads the header; returns what follows.
pub(crate) fn read_header(bytes: &[u8]) -> Result<&[u8], RestoreError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(RestoreError::NotSaved)?;
    let (form, rest) = rest.split_first_chunk().ok_or(RestoreError::NotSaved)?;
    match u32::from_le_bytes(*form) {
        FORM => Ok(rest),
        OLD_FORM => Err(RestoreError::Older),
        0 => Err(RestoreError::NotSaved),
        form => Err(RestoreError::Newer(form)),
    }
}

/// Reads a section; returns it and what follows.
pub(crate) fn read_section(bytes: &[u8]) -> Result<(Section<'_>, &[u8]), RestoreError> {
    let cut = RestoreError::Cut;
    let (name_len, rest) = bytes.split_first().ok_or(cut.clone())?;
    let name_len = usize::from(*name_len);
    let (name, rest) = rest.split_at_checked(name_len).ok_or(cut.clone())?;
    let name = core::str::from_utf8(name).map_err(|_| RestoreError::NotSaved)?;
    let (version, rest) = rest.split_first_chunk().ok_or(cut.clone())?;
    let (len, rest) = rest.split_first_chunk().ok_or(cut.clone())?;
    let len = u64::from_le_bytes(*len);
    if len > MAX_SECTION_BYTES {
        let why = device::BadState("it is longer than any section");
        return Err(RestoreError::section(name, why));
    }
    let (bytes, rest) = rest.split_at_checked(len as usize).ok_or(cut)?;
    let section = Section {
        name,
        version: u32::from_le_bytes(*version),
        bytes,
    };
    Ok((section, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Vec<u8> {
        let mut bytes = Vec::new();
        write_section(&mut bytes, "name", 7, |out| out.extend(*b"content"));
        bytes
    }

    #[test]
    fn a_section_is_read_as_it_was_written() {
        let mut bytes = section();
        bytes.push(9);
        let (read, rest) = read_section(&bytes).expect("a section");
        let written = Section {
            name: "name",
            version: 7,
            bytes: b"content",
        };
        assert_eq!((read, rest), (written, [9].as_slice()));
    }

    #[test]
    fn a_section_that_is_cut_anywhere_is_none() {
        let bytes = section();
        for len in 0..bytes.len() {
            assert_eq!(read_section(&bytes[..len]), Err(RestoreError::Cut), "{len}");
        }
    }

    #[test]
    fn no_length_is_believed() {
        for len in [MAX_SECTION_BYTES + 1, u64::MAX] {
            let mut bytes = section();
            bytes[9..17].copy_from_slice(&len.to_le_bytes());
            let refused = read_section(&bytes);
            assert!(matches!(refused, Err(RestoreError::Section(name, _)) if name == "name"));
        }
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let mut header = Vec::new();
        write_header(&mut header);
        assert_eq!(read_header(&header), Ok([].as_slice()));
        let mut other = |form: u8| {
            header[8] = form;
            read_header(&header).map(<[u8]>::len)
        };
        assert_eq!(other(1), Err(RestoreError::Older));
        assert_eq!(other(3), Err(RestoreError::Newer(3)));
        assert_eq!(other(0), Err(RestoreError::NotSaved));
        let text = alloc::format!("{}", RestoreError::Older);
        assert!(text.contains("older version"), "{text}");
    }
}
