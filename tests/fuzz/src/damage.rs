//! Damage to bytes.

use proptest::collection::vec;
use proptest::prelude::*;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// A byte becomes another.
    Byte(u16, u8),
    /// Four bytes become a number, as fields of headers do.
    Number(u16, u32),
    /// What follows is gone.
    Cut(u16),
    /// Bytes appear.
    Insert(u16, Vec<u8>),
}

/// Up to eight changes.
pub(crate) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let number = prop_oneof![
        any::<u32>(),
        Just(0),
        Just(u32::MAX),
        (0u32..64).prop_map(|shift| 1u32.rotate_left(shift)),
    ];
    let damage = prop_oneof![
        4 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        4 => (any::<u16>(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        1 => any::<u16>().prop_map(Damage::Cut),
        1 => (any::<u16>(), vec(any::<u8>(), 0..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ];
    vec(damage, 0..8)
}

/// Carries the changes out; places count modulo the first `header_bytes`, where a parser looks.
pub(crate) fn apply(bytes: &mut Vec<u8>, damages: &[Damage], header_bytes: usize) {
    for damage in damages {
        let end = bytes.len().min(header_bytes).max(1);
        match damage {
            Damage::Byte(at, byte) => {
                if let Some(place) = bytes.get_mut(usize::from(*at) % end) {
                    *place = *byte;
                }
            }
            Damage::Number(at, number) => {
                let at = usize::from(*at) % end;
                for (place, byte) in bytes.iter_mut().skip(at).zip(number.to_le_bytes()) {
                    *place = byte;
                }
            }
            Damage::Cut(at) => bytes.truncate(usize::from(*at) % (bytes.len() + 1)),
            Damage::Insert(at, more) => {
                let at = usize::from(*at) % (bytes.len() + 1);
                bytes.splice(at..at, more.iter().copied());
            }
        }
    }
}
