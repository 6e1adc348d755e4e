//! Writes into guest RAM, and the start of vCPU 0.

use addr::Gpa;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use guest_memory::{GuestMemory, Unbacked};
use vcpu::ArchState;

/// The most that [`Content::Copy`] copies.
const MAX_COPY_BYTES: usize = 64;

/// Content of one place in guest RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// These bytes: borrowed from the image, or made here.
    Bytes(Cow<'a, [u8]>),
    /// So many zeros.
    Zeros(u64),
    /// Bytes that lie elsewhere in guest RAM when the plan is applied: the ACPI tables are there
    /// before.
    Copy {
        /// Where it lies.
        from: Gpa,
        /// Number of bytes, at most 64.
        len_bytes: u8,
    },
}

/// One write into guest RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// Where.
    pub at: Gpa,
    /// What.
    pub content: Content<'a>,
}

impl<'a> Write<'a> {
    /// Writes what is borrowed from an image.
    pub(crate) const fn borrowed(at: Gpa, bytes: &'a [u8]) -> Self {
        Self {
            at,
            content: Content::Bytes(Cow::Borrowed(bytes)),
        }
    }

    /// Writes what was made here.
    pub(crate) const fn made(at: Gpa, bytes: Vec<u8>) -> Self {
        Self {
            at,
            content: Content::Bytes(Cow::Owned(bytes)),
        }
    }

    /// Returns how many bytes are written.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(len_bytes) => *len_bytes,
            Content::Copy { len_bytes, .. } => u64::from(*len_bytes),
        }
    }
}

/// Start of a guest: writes into its RAM and the state of vCPU 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPlan<'a> {
    /// The writes. They lie inside the layout's RAM and do not overlap.
    pub writes: Vec<Write<'a>>,
    /// Where and how vCPU 0 starts.
    pub start: ArchState,
}

impl BootPlan<'_> {
    /// Does the writes.
    ///
    /// # Errors
    /// [`Unbacked`] when `memory` is not the layout's that the plan was made for.
    pub fn apply(&self, memory: &impl GuestMemory) -> Result<(), Unbacked> {
        self.writes
            .iter()
            .try_for_each(|write| match &write.content {
                Content::Bytes(bytes) => memory.write(write.at, bytes),
                Content::Zeros(len_bytes) => memory.fill(write.at, *len_bytes, 0),
                Content::Copy { from, len_bytes } => {
                    let mut bytes = [0; MAX_COPY_BYTES];
                    let len_bytes = usize::from(*len_bytes).min(MAX_COPY_BYTES);
                    let (bytes, _) = bytes.split_at_mut(len_bytes);
                    memory.read(*from, bytes)?;
                    memory.write(write.at, bytes)
                }
            })
    }
}
