//! A VM as plain data, in sections: what is saved of it, and how it comes back.
//!
//! | section | what |
//! |---|---|
//! | `vm` | its shape and its time |
//! | `vcpu/0`, … | a vCPU |
//! | `device/pic`, … | a device, by its name on the board |
//! | `ram/0`, … | RAM from this address on: [`ram`] |
//!
//! Wiring is in none of them: a VM takes the state of one that is made like it, and stays what it was made as. All times are the VM's
//! own, so they hold in whatever VM the state is put; levels of wires follow from the devices. A saved state is input like any other:
//! what no VM can have been in is refused. Older versions of a section are migrated; see [`device::State`].

mod error;
pub(crate) mod format;
pub(crate) mod ram;
pub(crate) mod stream;
mod vcpu;

pub use error::{NotPaused, RestoreError};
pub(crate) use vcpu::SavedVcpu;

use crate::vm::Vm;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use board::{SavedMail, VmState};
use core::sync::atomic::Ordering;
use device::{BadState, State};
use host::Host;
use serde::{Deserialize, Serialize};
use time::Instant;

/// The section of the VM itself.
const VM: &str = "vm";
const VCPU: &str = "vcpu/";
const DEVICE: &str = "device/";

/// A paused VM, RAM apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedVm {
    pub(crate) sections: Vec<SavedSection>,
}

/// One section of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSection {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Saved state of the VM itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedMachine {
    shape: Shape,
    /// Its time when it was paused.
    now: Instant,
    started: Instant,
}

impl State for SavedMachine {}

/// Properties in which two VMs must agree to take each other's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    vcpus: u32,
    memory_bytes: u64,
    tsc_khz: u64,
    physical_bits: u8,
    cr4_allowed: u64,
    xcr0_allowed: u64,
}

/// Parts of a saved VM that are checked before anything is touched.
pub(crate) struct Checked {
    machine: SavedMachine,
    vcpus: Vec<SavedVcpu>,
}

impl SavedVm {
    /// Nothing is saved.
    pub(crate) const fn new() -> Self {
        Self {
            sections: Vec::new(),
        }
    }

    /// Adds a section that is not there yet.
    pub(crate) fn add(&mut self, section: SavedSection) -> Result<(), RestoreError> {
        if self.sections.iter().any(|other| other.name == section.name) {
            return Err(RestoreError::Twice(section.name));
        }
        self.sections.push(section);
        Ok(())
    }

    fn put<S: State>(&mut self, name: String, state: &S) {
        self.sections.push(SavedSection {
            name,
            version: S::VERSION,
            bytes: device::encode(state),
        });
    }

    fn section(&self, name: &str) -> Result<&SavedSection, RestoreError> {
        let found = self.sections.iter().find(|section| section.name == name);
        found.ok_or_else(|| RestoreError::Missing(name.into()))
    }

    fn get<S: State>(&self, name: &str) -> Result<S, RestoreError> {
        let section = self.section(name)?;
        let state = device::decode(section.version, &section.bytes);
        state.map_err(|why| RestoreError::section(name, why))
    }

    /// Appends it as the beginning of a saved VM, with the header in front and nothing behind.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        format::write_header(out);
        for section in &self.sections {
            format::write_section(out, &section.name, section.version, |out| {
                out.extend(&section.bytes);
            });
        }
    }
}

impl<H: Host> Vm<H> {
    fn shape(&self) -> Shape {
        Shape {
            vcpus: self.spec.cpus,
            memory_bytes: self.spec.memory_bytes,
            tsc_khz: self.host.clock().khz(),
            physical_bits: self.model.physical_bits(),
            cr4_allowed: self.model.cr4_allowed(),
            xcr0_allowed: self.model.xcr0_allowed(),
        }
    }

    /// Its state, RAM apart.
    ///
    /// # Errors
    /// [`NotPaused`].
    pub fn save(&self) -> Result<SavedVm, NotPaused> {
        if self.lifecycle().state() != VmState::Paused {
            return Err(NotPaused);
        }
        // What was due when the clock stopped and has not fired yet does so first: it changes other devices and leaves mail.
        for slot in self.board.slots() {
            slot.advance();
        }
        let mut saved = SavedVm::new();
        let machine = SavedMachine {
            shape: self.shape(),
            now: self.now(),
            started: self.started(),
        };
        saved.put(VM.into(), &machine);
        let vcpus = self.held.iter().zip(self.cpus().mailboxes());
        for (id, (held, mailbox)) in vcpus.enumerate() {
            let held = held.lock();
            let mut vcpu = held.as_deref().ok_or(NotPaused)?.clone();
            vcpu.mail = mailbox.save();
            vcpu.tsc = vcpu.tsc.wrapping_add(self.paused_tsc());
            saved.put(format!("{VCPU}{id}"), &vcpu);
        }
        for slot in self.board.slots() {
            saved.sections.push(SavedSection {
                name: format!("{DEVICE}{}", slot.name()),
                version: slot.state_version(),
                bytes: slot.save(),
            });
        }
        Ok(saved)
    }

    /// The host's TSC at the time of the pause.
    fn paused_tsc(&self) -> u64 {
        let clock = self.clock();
        self.host.clock().tsc(clock.to_host(clock.stopped_at()))
    }

    /// Takes the state of a VM of the same shape, and is paused then. Its RAM is to hold that VM's already.
    ///
    /// # Errors
    /// [`RestoreError`]; the VM is stopped then.
    pub fn restore(&self, saved: &SavedVm) -> Result<(), RestoreError> {
        if !self.is_ready() {
            return Err(RestoreError::NotStopped);
        }
        self.become_saved(saved)
    }

    /// As [`Vm::restore`], also while its RAM is not ready for a start. It is when this ends well.
    pub(crate) fn become_saved(&self, saved: &SavedVm) -> Result<(), RestoreError> {
        let Checked { machine, vcpus } = self.check(saved)?;
        if !self.lifecycle().try_begin_start() {
            return Err(RestoreError::NotStopped);
        }
        self.restart_at.set(None);
        self.stops_hard_at.set(None);
        self.board.forget_typed();
        self.clock().set_and_stop(machine.now);
        self.started_ns
            .store(machine.started.as_ns(), Ordering::Relaxed);
        let restored = self.restore_devices(saved);
        // BARs are where they were, or switched off.
        self.board.settle();
        if let Err(error) = restored {
            self.lifecycle().set_stopped();
            return Err(error);
        }
        let mail: Vec<SavedMail> = vcpus.iter().map(|vcpu| vcpu.mail).collect();
        for (held, vcpu) in self.held.iter().zip(vcpus) {
            *held.lock() = Some(Box::new(vcpu));
        }
        self.is_done.store(false, Ordering::SeqCst);
        self.ram_work.set_done();
        self.lifecycle().begin_paused(&mail);
        Ok(())
    }

    /// Checks that a section of this name, which is not one of RAM, has a place here.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), RestoreError> {
        let is_vcpu = |id: &str| (0..self.held.len()).any(|own| format!("{own}") == id);
        let is_device = |name| self.board.slots().iter().any(|slot| slot.name() == name);
        let is_known = name == VM
            || name.strip_prefix(VCPU).is_some_and(is_vcpu)
            || name.strip_prefix(DEVICE).is_some_and(is_device);
        if is_known {
            Ok(())
        } else {
            Err(RestoreError::Unknown(name.into()))
        }
    }

    pub(crate) fn check(&self, saved: &SavedVm) -> Result<Checked, RestoreError> {
        let machine: SavedMachine = saved.get(VM)?;
        if machine.shape != self.shape() {
            return Err(RestoreError::Shape);
        }
        let is_time = machine.now.as_ns() <= MAX_TIME_NS && machine.started <= machine.now;
        BadState::unless(is_time, "its time is none")
            .map_err(|why| RestoreError::section(VM, why))?;
        for section in &saved.sections {
            self.check_name(&section.name)?;
        }
        for slot in self.board.slots() {
            saved.section(&format!("{DEVICE}{}", slot.name()))?;
        }
        let mut vcpus = Vec::with_capacity(self.held.len());
        for id in 0..self.spec.cpus {
            let name = format!("{VCPU}{id}");
            let vcpu: SavedVcpu = saved.get(&name)?;
            vcpu.check(id, &self.model)
                .map_err(|::vcpu::BadState(why)| RestoreError::section(name, BadState(why)))?;
            vcpus.push(vcpu);
        }
        Ok(Checked { machine, vcpus })
    }

    fn restore_devices(&self, saved: &SavedVm) -> Result<(), RestoreError> {
        // All wires are low then.
        for slot in self.board.slots() {
            slot.reset();
        }
        // Backwards: the HPET says whether PIT and RTC have wires at all, and the interrupt controllers come last, when their inputs
        // have the levels that belong to the state. What an input did until then is forgotten with what the controller was before.
        for slot in self.board.slots().iter().rev() {
            let name = format!("{DEVICE}{}", slot.name());
            let section = saved.section(&name)?;
            let restored = slot.restore(section.version, &section.bytes);
            restored.map_err(|why| RestoreError::section(name, why))?;
        }
        Ok(())
    }
}

/// The latest time that a VM can have: 292 years. Clocks go on behind it and must not wrap.
const MAX_TIME_NS: u64 = i64::MAX as u64;
