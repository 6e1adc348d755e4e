//! Memory as the instruction sees it: linear addresses behind which RAM or a device is.

use crate::{Bus, Stop};
use addr::{Gpa, Gva, PAGE_BYTES};
use guest_memory::GuestMemory;
use slat::walk::{self, WalkFault};
use vcpu::{Access, Paging, SlatFault, Vcpu};
use x86::Width;

/// Everything an instruction works on.
pub(crate) struct Machine<'a, V, M, B> {
    pub(crate) vcpu: &'a mut V,
    memory: &'a M,
    bus: &'a mut B,
    paging: Paging,
    fault: &'a SlatFault,
    pub(crate) is_64_bit: bool,
    /// The last translation for reading and for writing: linear page and physical page.
    known: [Option<(u64, Gpa)>; 2],
}

/// Kind of access an operand is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    Write,
    /// Read, then written.
    Update,
}

impl Intent {
    fn access(self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Write | Self::Update => Access::Write,
        }
    }
}

/// An operand whose pages are known to be there: nothing of it can fault any more.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    first: Gpa,
    width: Width,
    /// Where the rest is, and how many bytes come before it.
    second: Option<(Gpa, u8)>,
}

impl<'a, V: Vcpu, M: GuestMemory, B> Machine<'a, V, M, B> {
    pub(crate) fn new(
        vcpu: &'a mut V,
        memory: &'a M,
        bus: &'a mut B,
        paging: Paging,
        fault: &'a SlatFault,
    ) -> Self {
        Self {
            vcpu,
            memory,
            bus,
            is_64_bit: paging.is_64_bit(),
            paging,
            fault,
            known: [None; 2],
        }
    }

    /// Translates the operand at `linear`.
    pub(crate) fn resolve(
        &mut self,
        linear: u64,
        width: Width,
        intent: Intent,
    ) -> Result<Span, Stop> {
        let first = self.translate(linear, intent)?;
        let on_page = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
        let second = if on_page >= u64::from(width.bytes()) {
            None
        } else {
            let next = self.wrap(linear.wrapping_add(on_page));
            Some((self.translate(next, intent)?, on_page as u8))
        };
        Ok(Span {
            first,
            width,
            second,
        })
    }

    fn wrap(&self, linear: u64) -> u64 {
        if self.is_64_bit {
            linear
        } else {
            linear & 0xffff_ffff
        }
    }

    fn translate(&mut self, linear: u64, intent: Intent) -> Result<Gpa, Stop> {
        let page = linear & !(PAGE_BYTES - 1);
        let offset = linear & (PAGE_BYTES - 1);
        let slot = usize::from(intent != Intent::Read);
        if let Some(Some((known, at))) = self.known.get(slot)
            && *known == page
        {
            return Ok(at.wrapping_add(offset));
        }
        let gpa = if self.is_the_fault(linear, intent) {
            // The CPU has walked the tables for this very access and checked every right.
            self.fault.gpa
        } else {
            let is_user = self.paging.cpl == 3;
            let gva = Gva::new(linear);
            match walk::translate(self.memory, &self.paging, gva, intent.access(), is_user) {
                Ok(gpa) => gpa,
                Err(WalkFault::Fault(fault)) => return Err(Stop::Fault(fault)),
                Err(WalkFault::NotRam(_)) => return Err(Stop::Unsupported),
            }
        };
        if let Some(known) = self.known.get_mut(slot) {
            *known = Some((page, gpa.align_down(PAGE_BYTES)));
        }
        Ok(gpa)
    }

    /// Returns whether this is the access the CPU stopped at.
    fn is_the_fault(&self, linear: u64, intent: Intent) -> bool {
        let is_same_kind = match intent {
            Intent::Read => self.fault.access == Access::Read,
            Intent::Write => self.fault.access == Access::Write,
            Intent::Update => true,
        };
        is_same_kind
            && self.fault.gpa.page_offset() == linear & (PAGE_BYTES - 1)
            && self.fault.gva.is_none_or(|gva| gva.raw() == linear)
    }

    fn is_device(&self, at: Gpa) -> bool {
        at.align_down(PAGE_BYTES) == self.fault.gpa.align_down(PAGE_BYTES)
    }
}

impl<V: Vcpu, M: GuestMemory, B: Bus> Machine<'_, V, M, B> {
    pub(crate) fn load(&mut self, span: Span) -> u64 {
        let Some((second, before)) = span.second else {
            return self.load_piece(span.first, span.width);
        };
        let mut value = 0;
        for number in 0..span.width.bytes() {
            let at = byte_of(span.first, second, before, number);
            value |= self.load_piece(at, Width::Byte) << (8 * u32::from(number));
        }
        value
    }

    pub(crate) fn store(&mut self, span: Span, value: u64) {
        let Some((second, before)) = span.second else {
            return self.store_piece(span.first, span.width, value);
        };
        for number in 0..span.width.bytes() {
            let at = byte_of(span.first, second, before, number);
            self.store_piece(at, Width::Byte, value >> (8 * u32::from(number)));
        }
    }

    /// Reads from one page.
    fn load_piece(&mut self, at: Gpa, width: Width) -> u64 {
        let mut bytes = [0; 8];
        let len = usize::from(width.bytes());
        if !self.is_device(at)
            && let Some(into) = bytes.get_mut(..len)
            && self.memory.read(at, into).is_ok()
        {
            return u64::from_le_bytes(bytes);
        }
        if at.is_aligned(u64::from(width.bytes())) {
            return width.truncate(self.bus.read(at, width));
        }
        (0..width.bytes()).fold(0, |value, number| {
            let byte = self
                .bus
                .read(at.wrapping_add(u64::from(number)), Width::Byte);
            value | (byte & 0xff) << (8 * u32::from(number))
        })
    }

    /// Writes to one page.
    fn store_piece(&mut self, at: Gpa, width: Width, value: u64) {
        let bytes = value.to_le_bytes();
        let len = usize::from(width.bytes());
        if !self.is_device(at)
            && let Some(from) = bytes.get(..len)
            && self.memory.write(at, from).is_ok()
        {
            return;
        }
        if at.is_aligned(u64::from(width.bytes())) {
            return self.bus.write(at, width, width.truncate(value));
        }
        for (at, byte) in (at.raw()..).zip(bytes.iter().take(len)) {
            self.bus.write(Gpa::new(at), Width::Byte, u64::from(*byte));
        }
    }
}

fn byte_of(first: Gpa, second: Gpa, before: u8, number: u8) -> Gpa {
    match number.checked_sub(before) {
        Some(behind) => second.wrapping_add(u64::from(behind)),
        None => first.wrapping_add(u64::from(number)),
    }
}
