//! Control sequences, put together again from what was understood of them.

/// Longer than any sequence that the parser's 32 parameters can ask for.
const CAPACITY: usize = 256;

/// One control sequence in the making.
pub(crate) struct Sequence {
    bytes: [u8; CAPACITY],
    len: usize,
    has_parameter: bool,
}

impl Sequence {
    /// `ESC [` and what marks it as private, if anything.
    pub(crate) fn csi(marker: &[u8]) -> Self {
        let mut sequence = Self {
            bytes: [0; CAPACITY],
            len: 0,
            has_parameter: false,
        };
        sequence.push(b"\x1b[");
        sequence.push(marker);
        sequence
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        // Past the capacity it is too long for good, and `finish` says so.
        self.len = end;
    }

    /// One more parameter.
    pub(crate) fn parameter(&mut self, value: u16) {
        if self.has_parameter {
            self.push(b";");
        }
        self.has_parameter = true;
        for unit in [10_000, 1000, 100, 10, 1] {
            // Without leading zeros, but 0 has its digit.
            if value >= unit || unit == 1 {
                self.push(&[b'0' + (value / unit % 10) as u8]);
            }
        }
    }

    /// Returns whether it has parameters yet.
    pub(crate) fn has_parameter(&self) -> bool {
        self.has_parameter
    }

    /// The whole sequence, or nothing when it became too long.
    pub(crate) fn finish(&mut self, last: u8) -> &[u8] {
        self.push(&[last]);
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_no_leading_zeros_and_at_least_one_digit() {
        let mut sequence = Sequence::csi(b"?");
        for value in [0, 7, 10, 105, 1000, 65_535] {
            sequence.parameter(value);
        }
        assert_eq!(sequence.finish(b'h'), b"\x1b[?0;7;10;105;1000;65535h");
    }
}
