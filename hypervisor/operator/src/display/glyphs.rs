//! The characters of a PC's screen, code page 437, in Unicode.

/// The pictures of the control characters. (IBM code page 437, with the graphics of its first 32)
const LOW: [char; 32] = [
    ' ', '☺', '☻', '♥', '♦', '♣', '♠', '•', '◘', '○', '◙', '♂', '♀', '♪', '♫', '☼', '►', '◄', '↕',
    '‼', '¶', '§', '▬', '↨', '↑', '↓', '→', '←', '∟', '↔', '▲', '▼',
];

/// The characters from [`FIRST_HIGH`] on.
const HIGH: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ',
    'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ',
    'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕',
    '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦',
    '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐',
    '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±',
    '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

/// The first of [`HIGH`].
const FIRST_HIGH: u8 = 0x80;

/// Returns the character that looks like this one of a PC's screen. None of them moves a terminal's
/// cursor otherwise than by one.
pub(super) fn unicode(character: u8) -> char {
    let (half, at) = match character {
        0..0x20 => (&LOW[..], character),
        0x7f => return '⌂',
        FIRST_HIGH.. => (&HIGH[..], character - FIRST_HIGH),
        _ => return char::from(character),
    };
    half.get(usize::from(at)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_frames_and_nothing_is_a_control_character() {
        assert_eq!(
            [0xda, 0xc4, 0xbf, 0xb3, 0xdb].map(unicode),
            ['┌', '─', '┐', '│', '█']
        );
        assert_eq!([0xe4, 0xf8, 0xb0, 0xc5].map(unicode), ['Σ', '°', '░', '┼']);
        assert!((0..=255).map(unicode).all(|symbol| !symbol.is_control()));
    }
}
