//! A VM as plain data: what is saved of it, and how it comes back.
//!
//! Everything but RAM, which is copied beside. All times are the VM's own, so they hold in whatever VM the state is put; levels of
//! wires follow from the devices and are not saved. A saved state is input like any other: what no VM can have been in is refused.

use crate::vcpu::VirtualCpu;
use crate::vcpu::local::SavedLocal;
use crate::vm::Vm;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use board::SavedMail;
use board::{StopReason, VmState};
use core::fmt;
use core::sync::atomic::Ordering;
use host::Host;
use serde::{Deserialize, Serialize};
use time::Instant;
use vcpu::{ArchState, BadState, HiddenState, Vcpu};

/// What the bytes of a saved VM begin with.
const MAGIC: [u8; 8] = *b"CAISSON\0";
/// The version of what follows. Another one means that a field came, went or changed its meaning.
const VERSION: u32 = 1;

/// A paused VM, RAM apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedVm {
    shape: Shape,
    /// Its time when it was paused.
    now: Instant,
    started: Instant,
    vcpus: Vec<SavedVcpu>,
    pub(crate) devices: Vec<SavedDevice>,
}

/// What two VMs have in common that can take each other's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    vcpus: u32,
    memory_bytes: u64,
    tsc_khz: u64,
    physical_bits: u8,
    cr4_allowed: u64,
    xcr0_allowed: u64,
}

/// One vCPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedVcpu {
    state: ArchState,
    hidden: HiddenState,
    vector: Vec<u8>,
    local: SavedLocal,
    /// Its TSC at the time of the pause.
    tsc: u64,
    has_nmi: bool,
    was_kicked: bool,
    mail: SavedMail,
}

/// One device, by its name on the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedDevice {
    pub(crate) name: String,
    version: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The VM is not paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPaused;

/// Why a VM could not take a saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// These are not the bytes of a saved VM.
    NotSaved,
    /// They are of another version.
    Version(u32),
    /// It was saved of a VM of another shape.
    Shape,
    /// The VM is not stopped, or not ready yet.
    NotStopped,
    /// A vCPU can never have been in this state.
    Vcpu(usize, BadState),
    /// There is no state for this device, or none that it can have had.
    Device(&'static str),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSaved => write!(f, "this is no saved VM"),
            Self::Version(version) => {
                write!(
                    f,
                    "saved by another version: {version}, this one is {VERSION}"
                )
            }
            Self::Shape => write!(
                f,
                "saved of a VM with other vCPUs, memory or CPU features than this one"
            ),
            Self::NotStopped => write!(f, "only a stopped VM takes a saved state"),
            Self::Vcpu(id, BadState(why)) => write!(f, "bad saved state of vCPU {id}: {why}"),
            Self::Device(name) => write!(f, "no good saved state of device {name}"),
        }
    }
}

impl SavedVm {
    /// As bytes, with a version in front.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        postcard::to_extend(self, bytes).expect("a vector takes all bytes, and lengths are known")
    }

    /// From what [`SavedVm::to_bytes`] gave.
    ///
    /// # Errors
    /// [`RestoreError::NotSaved`], [`RestoreError::Version`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(RestoreError::NotSaved)?;
        let (version, rest) = rest.split_first_chunk().ok_or(RestoreError::NotSaved)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(RestoreError::Version(version));
        }
        match postcard::take_from_bytes(rest) {
            Ok((saved, [])) => Ok(saved),
            Ok(_) | Err(_) => Err(RestoreError::NotSaved),
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
        let mut vcpus = Vec::new();
        for (held, mailbox) in self.held.iter().zip(self.cpus().mailboxes()) {
            let held = held.lock();
            let mut vcpu = held.as_deref().ok_or(NotPaused)?.clone();
            vcpu.mail = mailbox.save();
            vcpu.tsc = vcpu.tsc.wrapping_add(self.paused_tsc());
            vcpus.push(vcpu);
        }
        let slots = self.board.slots().iter();
        Ok(SavedVm {
            shape: self.shape(),
            now: self.now(),
            started: self.started(),
            vcpus,
            devices: slots
                .map(|slot| SavedDevice {
                    name: slot.name().into(),
                    version: slot.state_version(),
                    bytes: slot.save(),
                })
                .collect(),
        })
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
        self.check(saved)?;
        if !self.is_ready() || !self.lifecycle().claim() {
            return Err(RestoreError::NotStopped);
        }
        self.restart_at.set(None);
        self.stops_hard_at.set(None);
        self.board.forget_typed();
        self.clock().set_and_stop(saved.now);
        self.started_ns
            .store(saved.started.as_ns(), Ordering::Relaxed);
        let restored = self.restore_devices(saved);
        // BARs are where they were, or switched off.
        self.board.settle();
        if let Err(error) = restored {
            self.lifecycle().rest();
            return Err(error);
        }
        for (held, vcpu) in self.held.iter().zip(&saved.vcpus) {
            *held.lock() = Some(Box::new(vcpu.clone()));
        }
        self.is_done.store(false, Ordering::SeqCst);
        let mail: Vec<SavedMail> = saved.vcpus.iter().map(|vcpu| vcpu.mail).collect();
        self.lifecycle().begin_paused(&mail);
        Ok(())
    }

    fn check(&self, saved: &SavedVm) -> Result<(), RestoreError> {
        if saved.shape != self.shape() || saved.vcpus.len() != self.held.len() {
            return Err(RestoreError::Shape);
        }
        for (id, vcpu) in saved.vcpus.iter().enumerate() {
            let bad = |error| RestoreError::Vcpu(id, error);
            self.model.check_state(&vcpu.state).map_err(bad)?;
            vcpu.local.check(id as u32, &self.model).map_err(bad)?;
        }
        Ok(())
    }

    fn restore_devices(&self, saved: &SavedVm) -> Result<(), RestoreError> {
        // All wires are low then.
        for slot in self.board.slots() {
            slot.reset();
        }
        for slot in self.board.slots() {
            let device = saved
                .devices
                .iter()
                .find(|saved| saved.name == slot.name() && saved.version == slot.state_version());
            let bytes = device.map(|device| device.bytes.as_slice());
            if !bytes.is_some_and(|bytes| slot.restore(bytes)) {
                return Err(RestoreError::Device(slot.name()));
            }
        }
        // Now the wires get their levels, where both ends know them already. Backwards: the HPET says whether PIT and RTC have wires
        // at all, and the interrupt controllers come last.
        for slot in self.board.slots().iter().rev() {
            slot.advance();
        }
        Ok(())
    }
}

impl<H: Host> VirtualCpu<H> {
    /// Its state while it holds still. The TSC's part of it is what it is ahead of the host's.
    pub(crate) fn save(&self) -> SavedVcpu {
        let mut state = ArchState::after_reset();
        self.backend.save(&mut state);
        state.activity = self.activity;
        SavedVcpu {
            state,
            hidden: self.backend.hidden(),
            vector: self.backend.vector_image(),
            local: self.local.save(),
            tsc: self.local.tsc_offset,
            has_nmi: self.has_nmi,
            was_kicked: self.was_kicked,
            mail: SavedMail::default(),
        }
    }

    /// Takes what [`Vm::restore`] has left for it, and holds still.
    pub(crate) fn restore(&mut self) {
        let saved = self.vm.held[self.id].lock().take();
        let restored = match saved {
            Some(saved) => self.take_over(&saved),
            None => Err(BadState("there is none")),
        };
        if let Err(BadState(why)) = restored {
            self.vm.lifecycle().end(StopReason::BadSavedState { why });
        }
    }

    fn take_over(&mut self, saved: &SavedVcpu) -> Result<(), BadState> {
        let SavedVcpu {
            state,
            hidden,
            vector,
            local,
            tsc,
            has_nmi,
            was_kicked,
            mail: _,
        } = saved;
        let allowed = self.vm.model().xcr0_allowed();
        self.backend.set_vector_image(vector, allowed)?;
        self.backend.load(state);
        self.backend.set_hidden(hidden)?;
        let tsc_offset = tsc.wrapping_sub(self.vm.paused_tsc());
        let behind_ns = self.vm.clock().behind_ns();
        self.local.restore(local, tsc_offset, behind_ns);
        self.backend.set_tsc_offset(tsc_offset);
        self.mailbox().publish(self.local.apic.addressing());
        self.activity = state.activity;
        self.has_nmi = *has_nmi;
        self.was_kicked = *was_kicked;
        self.has_window = false;
        self.exits_at_restore = Some(self.stats.total_exits());
        Ok(())
    }

    /// Whether the state that was restored has never been entered with success.
    pub(crate) fn is_unproven(&self) -> bool {
        // The refusal itself is counted.
        self.exits_at_restore
            .is_some_and(|before| self.stats.total_exits() <= before + 1)
    }
}
