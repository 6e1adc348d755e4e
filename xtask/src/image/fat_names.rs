//! Names in FAT directories: eleven capital letters, and the real name beside them. (fatgen103, "Long directory entries")

use anyhow::{Result, bail};

/// Size of a directory entry.
pub(super) const ENTRY_BYTES: usize = 32;

const ATTR_LONG_NAME: u8 = 0x0f;
/// Characters of the long name in one entry.
const PER_ENTRY: usize = 13;
/// Marks the entry with the end of the name.
const LAST: u8 = 0x40;

/// Finds a short name for `name` that is not in `taken`.
pub(super) fn short(name: &str, taken: &[[u8; 11]]) -> Result<[u8; 11]> {
    if name.is_empty()
        || name.len() > 255
        || name
            .chars()
            .any(|c| c.is_control() || "\"*/:<>?\\|".contains(c))
    {
        bail!("no FAT volume can hold it");
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let (stem, extension) = (letters(stem), letters(extension));
    if is_short(name) {
        return Ok(joined(&stem, &extension));
    }
    for number in 1..100_000_u32 {
        let tail = format!("~{number}").into_bytes();
        let mut base = stem.clone();
        base.truncate(8 - tail.len());
        base.extend(tail);
        let candidate = joined(&base, &extension);
        if !taken.contains(&candidate) {
            return Ok(candidate);
        }
    }
    bail!("its folder has too many names like it")
}

/// True if the name is whole in its short form, capitals and all.
fn is_short(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let fits = |text: &str, len| text.len() <= len && letters(text) == text.as_bytes();
    !stem.is_empty() && fits(stem, 8) && fits(extension, 3) && !name.ends_with('.')
}

/// What of `text` a short name may hold.
fn letters(text: &str) -> Vec<u8> {
    text.bytes()
        .filter(|byte| byte.is_ascii_alphanumeric() || b"$%'-_@~`!(){}^#&".contains(byte))
        .map(|byte| byte.to_ascii_uppercase())
        .collect()
}

fn joined(stem: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    for (to, from) in short[..8].iter_mut().zip(stem) {
        *to = *from;
    }
    for (to, from) in short[8..].iter_mut().zip(extension) {
        *to = *from;
    }
    short
}

/// The entries that go before the short one; none if the short name says it all.
pub(super) fn long_entries(name: &str, short: &[u8; 11]) -> Vec<u8> {
    if is_short(name) {
        return Vec::new();
    }
    let mut units: Vec<u16> = name.encode_utf16().collect();
    let count = units.len().div_ceil(PER_ENTRY);
    if units.len() < count * PER_ENTRY {
        units.push(0);
    }
    units.resize(count * PER_ENTRY, 0xffff);
    let checksum = short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut bytes = Vec::new();
    for (index, piece) in units.chunks(PER_ENTRY).enumerate().rev() {
        let mut entry = [0; ENTRY_BYTES];
        // At most 20 entries: the name has at most 255 characters.
        entry[0] = (index + 1) as u8 | if index + 1 == count { LAST } else { 0 };
        entry[11] = ATTR_LONG_NAME;
        entry[13] = checksum;
        let places = (1..11)
            .step_by(2)
            .chain((14..26).step_by(2))
            .chain((28..32).step_by(2));
        for (at, unit) in places.zip(piece) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        bytes.extend(entry);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_capitals_is_its_own_short_name() {
        assert_eq!(&short("BOOTX64.EFI", &[]).unwrap(), b"BOOTX64 EFI");
        assert!(long_entries("BOOTX64.EFI", b"BOOTX64 EFI").is_empty());
    }

    #[test]
    fn other_names_get_a_number_that_is_free() {
        let first = short("debian-cloud", &[]).unwrap();
        assert_eq!(&first, b"DEBIAN~1   ");
        assert_eq!(&short("debian-clone", &[first]).unwrap(), b"DEBIAN~2   ");
        assert_eq!(&short("initrd.img", &[]).unwrap(), b"INITRD~1IMG");
    }

    #[test]
    fn thirteen_letters_fit_one_entry() {
        assert_eq!(
            long_entries("thirteen-let.", b"THIRTE~1   ").len(),
            ENTRY_BYTES
        );
        assert_eq!(
            long_entries("fourteen-lette", b"FOURTE~1   ").len(),
            2 * ENTRY_BYTES
        );
    }

    #[test]
    fn what_fat_cannot_hold_is_refused() {
        assert!(short("a:b", &[]).is_err());
    }
}
