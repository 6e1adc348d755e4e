//! Copies of items to guest memory.

use super::{FwCfg, PIECE_NS};
use addr::Gpa;
use device::BadState;
use serde::{Deserialize, Serialize};
use time::Instant;

/// Length of a descriptor: control (4 bytes), length (4), address (8), all big-endian.
pub const DESCRIPTOR_BYTES: usize = 16;

/// The most that is copied at once: some ten microseconds.
const PIECE_BYTES: u32 = 64 * 1024;

const CONTROL_ERROR: u32 = 1 << 0;
const CONTROL_READ: u32 = 1 << 1;
const CONTROL_SKIP: u32 = 1 << 2;
const CONTROL_SELECT: u32 = 1 << 3;
const CONTROL_WRITE: u32 = 1 << 4;
/// Above this bit: what [`CONTROL_SELECT`] selects.
const CONTROL_SELECTOR_SHIFT: u32 = 16;

/// Progress of a transfer that was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Transfer {
    /// Its descriptor lies at this address and was not read yet.
    Ordered(u64),
    /// So many bytes are still to be copied.
    Copying {
        descriptor: u64,
        to: u64,
        left_bytes: u32,
    },
    /// This goes into its control field.
    Done { descriptor: u64, control: u32 },
}

impl Transfer {
    /// Checks one that was saved.
    pub(super) fn check(self) -> Result<(), BadState> {
        let is_possible = match self {
            Self::Ordered(_) => true,
            Self::Copying { left_bytes, .. } => left_bytes != 0,
            Self::Done { control, .. } => matches!(control, 0 | CONTROL_ERROR),
        };
        BadState::unless(is_possible, "a copy is under way that nobody ordered")
    }
}

/// Piece that is to be written to guest memory next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Where.
    pub at: Gpa,
    /// What.
    pub content: PieceContent<'a>,
}

/// Content of a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceContent<'a> {
    /// Of an item.
    Bytes(&'a [u8]),
    /// From behind its end.
    Zeros(u64),
}

impl PieceContent<'_> {
    fn len_bytes(self) -> u32 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u32,
            Self::Zeros(len_bytes) => len_bytes as u32,
        }
    }
}

impl FwCfg {
    /// The guest has written a descriptor's address. What was under way is given up: whoever does not wait has lost it.
    pub(super) fn order(&mut self, descriptor: Gpa) {
        self.state.transfer = Some(Transfer::Ordered(descriptor.raw()));
    }

    /// Where a descriptor is to be read, to be handed to [`FwCfg::begin`].
    #[must_use]
    pub fn descriptor(&self) -> Option<Gpa> {
        match self.state.transfer {
            Some(Transfer::Ordered(at)) => Some(Gpa::new(at)),
            _ => None,
        }
    }

    /// Takes the descriptor, read once; None if no memory is where it should lie.
    pub fn begin(&mut self, bytes: Option<[u8; DESCRIPTOR_BYTES]>) {
        let Some(Transfer::Ordered(descriptor)) = self.state.transfer.take() else {
            return;
        };
        let Some(bytes) = bytes else { return };
        // Constants of one layout: control, length, address.
        let whole = u128::from_be_bytes(bytes);
        let (control, len_bytes, to) = ((whole >> 96) as u32, (whole >> 64) as u32, whole as u64);
        if control & CONTROL_SELECT != 0 {
            self.select((control >> CONTROL_SELECTOR_SHIFT) as u16);
        }
        self.state.transfer = Some(if control & CONTROL_READ != 0 && len_bytes != 0 {
            Transfer::Copying {
                descriptor,
                to,
                left_bytes: len_bytes,
            }
        } else {
            let is_refused = control & (CONTROL_READ | CONTROL_WRITE) == CONTROL_WRITE;
            if !is_refused && control & (CONTROL_READ | CONTROL_SKIP) == CONTROL_SKIP {
                // No item is longer than 4 GiB: it was in memory when the VM was made.
                let rest = self.rest().len().min(u32::MAX as usize) as u32;
                self.state.offset += len_bytes.min(rest);
            }
            Transfer::Done {
                descriptor,
                control: if is_refused { CONTROL_ERROR } else { 0 },
            }
        });
    }

    /// The next piece to be written, if it is time; [`FwCfg::moved`] says how that went.
    #[must_use]
    pub fn piece(&self) -> Option<Piece<'_>> {
        let Some(Transfer::Copying { to, left_bytes, .. }) = self.state.transfer else {
            return None;
        };
        if self.now < self.next_piece_at() {
            return None;
        }
        let most = left_bytes.min(PIECE_BYTES);
        let rest = self.rest();
        let content = if rest.is_empty() {
            PieceContent::Zeros(most.into())
        } else {
            PieceContent::Bytes(rest.get(..most as usize).unwrap_or(rest))
        };
        let at = Gpa::new(to);
        Some(Piece { at, content })
    }

    /// The last [`FwCfg::piece`] was written, or does not lie in memory.
    pub fn moved(&mut self, is_written: bool) {
        let Some(piece) = self.piece() else { return };
        let (len_bytes, content) = (piece.content.len_bytes(), piece.content);
        if let PieceContent::Bytes(_) = content {
            self.state.offset += len_bytes;
        }
        let Some(Transfer::Copying {
            descriptor,
            to,
            left_bytes,
        }) = self.state.transfer
        else {
            return;
        };
        let left_bytes = left_bytes - len_bytes;
        self.wait_for(len_bytes);
        self.state.transfer = Some(match (is_written, left_bytes) {
            (true, 1..) => Transfer::Copying {
                descriptor,
                to: to.wrapping_add(u64::from(len_bytes)),
                left_bytes,
            },
            _ => Transfer::Done {
                descriptor,
                control: if is_written { 0 } else { CONTROL_ERROR },
            },
        });
    }

    /// Counts what a piece of this length costs, whatever order it belongs to: new orders win no time.
    fn wait_for(&mut self, len_bytes: u32) {
        let cost_ns = PIECE_NS * u64::from(len_bytes) / u64::from(PIECE_BYTES);
        self.state.busy_until = self.state.busy_until.max(self.now).after_ns(cost_ns);
    }

    /// When the next piece may be copied. Less than a whole one is no reason to wait, so short items and an item's end come at once.
    pub(super) fn next_piece_at(&self) -> Instant {
        let end_ns = self.state.busy_until.as_ns().saturating_add(1);
        Instant::from_ns(end_ns.saturating_sub(PIECE_NS))
    }

    /// Takes what goes into the control field of a finished descriptor: where, and the four bytes.
    pub fn take_result(&mut self) -> Option<(Gpa, [u8; 4])> {
        let Some(Transfer::Done {
            descriptor,
            control,
        }) = self.state.transfer
        else {
            return None;
        };
        self.state.transfer = None;
        Some((Gpa::new(descriptor), control.to_be_bytes()))
    }
}
