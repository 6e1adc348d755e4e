//! A saved VM on its way, a bounded piece at a time: out of a paused VM, into a new one.

use super::format::{self, END, Section};
use super::ram::{self, PageBuffer};
use super::{NotPaused, RestoreError, SavedSection, SavedVm};
use crate::vm::Vm;
use addr::GpaRange;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use guest_memory::Unbacked;
use host::Host;

/// Nothing more comes: what was to be saved is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Where a saved VM comes from.
pub(crate) trait Source: Send {
    /// The name it goes by in the log.
    fn name(&self) -> &str;

    /// Appends its next piece: whole sections, with the RAM of one chunk at most. Appends nothing
    /// when all has come.
    ///
    /// # Errors
    /// [`Gone`].
    fn next(&mut self, out: &mut Vec<u8>) -> Result<(), Gone>;
}

/// A paused VM as the source of its saved state.
pub(crate) struct Saving<H: Host> {
    vm: Arc<Vm<H>>,
    /// Which run_epoch of its life its pause is in.
    run_epoch: u64,
    /// All but its RAM.
    saved: Option<SavedVm>,
    ranges: Vec<GpaRange>,
    done_bytes: u64,
    has_ended: bool,
    page: Box<PageBuffer>,
}

impl<H: Host> Saving<H> {
    /// Saves all but the RAM, which has to stay as it is until it has been taken.
    ///
    /// # Errors
    /// [`NotPaused`].
    pub(crate) fn new(vm: Arc<Vm<H>>) -> Result<Self, NotPaused> {
        // Before the state is taken: a VM that is resumed and pauses again meanwhile is found out.
        let run_epoch = vm.lifecycle().run_epoch();
        Ok(Self {
            run_epoch,
            saved: Some(vm.save()?),
            ranges: vm.layout.backed(),
            done_bytes: 0,
            has_ended: false,
            page: Box::new([0; _]),
            vm,
        })
    }
}

impl<H: Host> Source for Saving<H> {
    fn name(&self) -> &str {
        self.vm.name()
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Result<(), Gone> {
        // Each time, and a last time behind the last chunk: RAM that was read since belongs to its
        // saved state.
        if self.vm.lifecycle().run_epoch() != self.run_epoch {
            return Err(Gone);
        }
        if let Some(saved) = self.saved.take() {
            saved.write(out);
        } else if let Some(chunk) = ram::next_chunk(&self.ranges, self.done_bytes) {
            let written = ram::write(&*self.vm.ram, chunk, &mut self.page, out);
            written.map_err(|Unbacked| Gone)?;
            self.done_bytes += chunk.1;
        } else if !self.has_ended {
            self.has_ended = true;
            format::write_section(out, END, 1, |_| ());
        }
        Ok(())
    }
}

/// The part of a saved VM that has arrived so far.
pub(crate) struct Intake {
    has_begun: bool,
    has_ended: bool,
    saved: SavedVm,
    ranges: Vec<GpaRange>,
    done_bytes: u64,
}

impl Intake {
    /// Nothing has come yet for a VM whose RAM lies there.
    pub(crate) const fn new(ranges: Vec<GpaRange>) -> Self {
        Self {
            has_begun: false,
            has_ended: false,
            saved: SavedVm::new(),
            ranges,
            done_bytes: 0,
        }
    }

    /// Takes a piece, whole sections. RAM goes to its place at once. Returns whether the end has come.
    ///
    /// # Errors
    /// [`RestoreError`]; RAM may be filled in part.
    pub(crate) fn take<H: Host>(&mut self, vm: &Vm<H>, piece: &[u8]) -> Result<bool, RestoreError> {
        let mut rest = piece;
        if !self.has_begun {
            rest = format::read_header(rest)?;
            self.has_begun = true;
        }
        while !rest.is_empty() {
            if self.has_ended {
                return Err(RestoreError::Trailing);
            }
            let (section, behind) = format::read_section(rest)?;
            rest = behind;
            self.take_section(vm, &section)?;
        }
        Ok(self.has_ended)
    }

    fn take_section<H: Host>(
        &mut self,
        vm: &Vm<H>,
        section: &Section<'_>,
    ) -> Result<(), RestoreError> {
        let next = ram::next_chunk(&self.ranges, self.done_bytes);
        if section.name == END {
            self.has_ended = true;
            return match next {
                Some((at, _)) => Err(RestoreError::Missing(ram::name(at))),
                None => Ok(()),
            };
        }
        if ram::is_ram(section.name) {
            let chunk = next.filter(|(at, _)| ram::name(*at) == section.name);
            let chunk = chunk.ok_or_else(|| RestoreError::Unknown(section.name.into()))?;
            ram::apply(&*vm.ram, chunk, section)?;
            self.done_bytes += chunk.1;
            return Ok(());
        }
        // Each once, and only those the VM has: so no source fills our memory.
        vm.check_name(section.name)?;
        self.saved.add(SavedSection {
            name: section.name.into(),
            version: section.version,
            bytes: section.bytes.into(),
        })
    }

    /// Returns all that has come beside RAM.
    pub(crate) fn into_saved(self) -> SavedVm {
        self.saved
    }
}
