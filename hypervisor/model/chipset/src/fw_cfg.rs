//! fw_cfg: what firmware and kernels may ask about their machine, by name or number.
//!
//! Follows QEMU's docs/specs/fw_cfg ("QEMU Firmware Configuration (fw_cfg) Device"), ports 0x510 to 0x51B. Items are read a byte at a
//! time, or copied to guest memory. The device has no way to that memory: it says what is to be copied, its harness copies, in pieces
//! between which others get their turn, and the guest sees in its descriptor when all is done. Nothing can be written.

mod dma;
mod items;
#[cfg(test)]
mod tests;

pub use dma::{DESCRIPTOR_BYTES, Piece, PieceContent};
pub use items::{Items, key};

use addr::Gpa;
use device::{BadState, Device, Page, Persist, PioDevice, Refused, State, Width};
use dma::Transfer;
use serde::{Deserialize, Serialize};
use time::Instant;

/// Where the item is chosen.
pub const SELECTOR_PORT: u16 = *pc_map::ports::FW_CFG.start();
/// Where its bytes are read.
pub const DATA_PORT: u16 = SELECTOR_PORT + 1;
/// The descriptor's address, high half first; both halves and all fields of the descriptor are big-endian.
pub const DMA_HIGH_PORT: u16 = SELECTOR_PORT + 4;
/// The low half, whose writing starts the transfer.
pub const DMA_LOW_PORT: u16 = SELECTOR_PORT + 8;

/// Value that the address register reads as, which tells that there is one.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";
/// In a selector: for writing, which changes nothing here.
const WRITES: u16 = 1 << 14;

/// Time between two pieces, of one transfer or of several.
const PIECE_NS: u64 = 100_000;

/// State of the device that changes while a guest runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgState {
    selector: u16,
    /// The next byte of the item.
    offset: u32,
    dma_high: u32,
    transfer: Option<Transfer>,
    /// When all that was copied so far would be done, were it copied evenly.
    busy_until: Instant,
}

impl State for FwCfgState {}

/// The device, with its items.
#[derive(Clone, Debug)]
pub struct FwCfg {
    /// Wiring.
    items: Items,
    now: Instant,
    state: FwCfgState,
}

impl FwCfg {
    /// A device with these items.
    #[must_use]
    pub fn new(items: Items) -> Self {
        Self {
            items,
            now: Instant::from_ns(0),
            state: FwCfgState::default(),
        }
    }

    fn select(&mut self, selector: u16) {
        (self.state.selector, self.state.offset) = (selector & !WRITES, 0);
    }

    /// Returns what is left of the chosen item; nothing if there is no such item.
    fn rest(&self) -> &[u8] {
        let item = self.items.get(self.state.selector);
        item.get(self.state.offset as usize..).unwrap_or_default()
    }

    fn read_byte(&mut self) -> u8 {
        match self.rest().first().copied() {
            Some(byte) => {
                self.state.offset += 1;
                byte
            }
            None => 0,
        }
    }
}

impl Persist for FwCfg {
    type State = FwCfgState;

    fn state(&self) -> FwCfgState {
        self.state.clone()
    }

    fn set_state(&mut self, state: FwCfgState) -> Result<(), BadState> {
        let item = self.items.get(state.selector);
        BadState::unless(
            state.selector & WRITES == 0 && state.offset as usize <= item.len(),
            "the next byte lies behind the item",
        )?;
        let latest = self.now.after_ns(2 * PIECE_NS);
        BadState::unless(state.busy_until <= latest, "it copies for too long")?;
        if let Some(transfer) = state.transfer {
            transfer.check()?;
        }
        self.state = state;
        Ok(())
    }
}

impl Device for FwCfg {
    fn reset(&mut self) {
        let Self {
            items: _,
            now: _,
            state,
        } = self;
        *state = FwCfgState::default();
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
    }

    fn deadline(&self) -> Option<Instant> {
        self.state
            .transfer
            .is_some()
            .then_some(self.next_piece_at())
    }

    fn inspect(&self, page: &mut Page<'_>) {
        page.line("item", format_args!("{:#06x}", self.state.selector));
        page.line("offset", self.state.offset);
        page.line("transfer", format_args!("{:x?}", self.state.transfer));
    }
}

impl PioDevice for FwCfg {
    /// Reads a port; `at` is absolute.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (DATA_PORT, Width::Byte) => Ok(u32::from(self.read_byte())),
            (DATA_PORT, _) => Err(Refused::WrongWidth),
            (DMA_HIGH_PORT..=0x51b, _) => {
                let first = usize::from(at - DMA_HIGH_PORT);
                let bytes = DMA_SIGNATURE.get(first..first + usize::from(width.bytes()));
                let bytes = bytes.ok_or(Refused::Misaligned)?;
                Ok(bytes
                    .iter()
                    .rev()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte)))
            }
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes a port; `at` is absolute.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (SELECTOR_PORT, Width::Word) => self.select(value as u16),
            // Items cannot be written, and the specification wants that to be no error.
            (DATA_PORT, Width::Byte) => {}
            (DMA_HIGH_PORT, Width::Dword) => self.state.dma_high = value.swap_bytes(),
            (DMA_LOW_PORT, Width::Dword) => {
                let high = core::mem::take(&mut self.state.dma_high);
                let at = u64::from(high) << 32 | u64::from(value.swap_bytes());
                self.order(Gpa::new(at));
            }
            _ => return Err(Refused::NoRegister),
        }
        Ok(())
    }

    fn moves_strings() -> bool {
        true
    }

    /// Of the data port all at once: zeros behind the item's end.
    fn read_many(&mut self, at: u16, width: Width, into: &mut [u8]) -> Result<usize, Refused> {
        if (at, width) != (DATA_PORT, Width::Byte) {
            let value = self.read(at, width)?.to_le_bytes();
            for (to, from) in into.iter_mut().zip(value).take(width.bytes().into()) {
                *to = from;
            }
            return Ok(width.bytes().into());
        }
        let rest = self.rest();
        let count = rest.len().min(into.len());
        let (item, behind) = into.split_at_mut(count);
        for (to, from) in item.iter_mut().zip(rest) {
            *to = *from;
        }
        behind.fill(0);
        self.state.offset += count as u32;
        Ok(into.len())
    }

    fn write_many(&mut self, at: u16, width: Width, from: &[u8]) -> Result<usize, Refused> {
        if (at, width) == (DATA_PORT, Width::Byte) {
            return Ok(from.len());
        }
        let mut value = [0; 4];
        for (to, from) in value.iter_mut().zip(from).take(width.bytes().into()) {
            *to = *from;
        }
        self.write(at, width, u32::from_le_bytes(value))?;
        Ok(width.bytes().into())
    }
}
