//! Which VMs there are, and how they come and go.

use crate::Hypervisor;
use crate::saved::{NotPaused, RestoreError, SavedVm};
use crate::vm::Vm;
use crate::vm::assemble::{self, AssembleContext, AssembleError};
use crate::vm::memory::Original;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use host::Host;
use spin::{Mutex, MutexGuard};
use vm_spec::VmSpec;

/// Why a VM could not be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The configuration has no VM or template of this name.
    NoSpec(String),
    /// A VM cannot be called that.
    BadName(String),
    /// There is a VM of this name.
    Taken(String),
    /// It could not be assembled.
    Assemble(AssembleError),
    /// There is no VM of this name to copy.
    NoVm(String),
    /// The VM to copy is not paused.
    NotPaused,
    /// Its own state cannot be read back: our bug.
    Saved(RestoreError),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpec(name) => write!(f, "caisson.toml has no VM or template {name:?}"),
            Self::BadName(name) => write!(
                f,
                "a VM cannot be called {name:?}: 1 to {} letters, digits, - and _",
                vm_spec::MAX_NAME_BYTES
            ),
            Self::Taken(name) => write!(f, "there is a VM {name:?} already"),
            Self::Assemble(error) => write!(f, "{error}"),
            Self::NoVm(name) => write!(f, "there is no VM {name:?}"),
            Self::NotPaused => write!(f, "only a paused VM can be copied"),
            Self::Saved(error) => write!(f, "{error}"),
        }
    }
}

/// Why a VM could not be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestroyError {
    /// There is no VM of this name.
    NoVm,
    /// It is not stopped.
    NotStopped,
}

impl fmt::Display for DestroyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoVm => "there is no VM of this name",
            Self::NotStopped => "it is not stopped; `kill` stops it at once",
        })
    }
}

/// All VMs.
///
/// Its lock is taken by the operator's side only, the boot CPU's chores and the start of the machine, and is the outermost one: a VM
/// is assembled under it, so that no two get the same name.
pub(crate) struct Registry<H: Host> {
    list: Mutex<List<H>>,
    /// How often the list changed.
    generation: AtomicU64,
}

/// The VMs in the order of their creation.
pub(crate) struct List<H: Host> {
    vms: Vec<Arc<Vm<H>>>,
    next_id: usize,
    /// Whose turn it is to be home to the next vCPU.
    turn: usize,
}

impl<H: Host> Registry<H> {
    pub(crate) const fn new() -> Self {
        Self {
            list: Mutex::new(List {
                vms: Vec::new(),
                next_id: 0,
                turn: 0,
            }),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, List<H>> {
        self.list.lock()
    }

    /// A number that changes with the list.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Assembles one more VM.
    pub(crate) fn add(
        &self,
        list: &mut List<H>,
        context: &AssembleContext<'_, H>,
        spec: &VmSpec,
        starts: bool,
        original: Option<Box<Original<H>>>,
    ) -> Result<Arc<Vm<H>>, AssembleError> {
        let (id, turn) = (list.next_id, &mut list.turn);
        let vm = assemble::assemble(context, id, spec, starts, original, turn)?;
        list.next_id += 1;
        list.vms.push(vm.clone());
        self.generation.fetch_add(1, Ordering::Release);
        Ok(vm)
    }
}

impl<H: Host> Hypervisor<H> {
    /// All VMs now, in the order of their creation.
    #[must_use]
    pub fn vms(&self) -> Vec<Arc<Vm<H>>> {
        self.registry.lock().vms.clone()
    }

    /// Returns a number that changes with the list of VMs.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.registry.generation()
    }

    /// How long each physical CPU has idled since it came up, in ns.
    pub fn idle_ns(&self) -> impl Iterator<Item = u64> {
        let now = self.host.now();
        self.porches
            .iter()
            .map(move |porch| porch.load.idle_ns(now))
    }

    /// The VM of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Vm<H>>> {
        let list = self.registry.lock();
        list.vms.iter().find(|vm| vm.name() == name).cloned()
    }

    /// The VM with this number; see [`Vm::id`].
    #[must_use]
    pub fn by_id(&self, id: usize) -> Option<Arc<Vm<H>>> {
        let list = self.registry.lock();
        list.vms.iter().find(|vm| vm.id() == id).cloned()
    }

    /// Makes a new VM as `spec_name` of the configuration says, under that name or another one. It waits to be started.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is kept then.
    pub fn create(&self, spec_name: &str, name: Option<&str>) -> Result<Arc<Vm<H>>, CreateError> {
        let specs = &self.config.vms;
        let spec = specs
            .iter()
            .find(|spec| spec.name == spec_name)
            .ok_or_else(|| CreateError::NoSpec(spec_name.into()))?;
        self.create_as(spec, name.unwrap_or(spec_name), None)
    }

    /// Makes a copy of a paused VM under another name: the same memory, the same state, paused as well. It is there at once and
    /// [`VmState::Paused`](crate::VmState::Paused) when its memory is copied; if the original goes on sooner, it stays empty.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is kept then.
    pub fn copy(&self, original: &str, name: &str) -> Result<Arc<Vm<H>>, CreateError> {
        let original = self
            .find(original)
            .ok_or_else(|| CreateError::NoVm(original.into()))?;
        let saved = original
            .save()
            .map_err(|NotPaused| CreateError::NotPaused)?;
        // By way of the bytes, as if it came from far away.
        let saved = SavedVm::from_bytes(&saved.to_bytes()).map_err(CreateError::Saved)?;
        let spec = original.spec.clone();
        let original = Box::new(Original::new(original, saved));
        self.create_as(&spec, name, Some(original))
    }

    fn create_as(
        &self,
        spec: &VmSpec,
        name: &str,
        original: Option<Box<Original<H>>>,
    ) -> Result<Arc<Vm<H>>, CreateError> {
        if !vm_spec::is_name(name) {
            return Err(CreateError::BadName(name.into()));
        }
        let mut list = self.registry.lock();
        if list.vms.iter().any(|vm| vm.name() == name) {
            return Err(CreateError::Taken(name.into()));
        }
        let spec = VmSpec {
            name: name.into(),
            is_template: false,
            ..spec.clone()
        };
        let vm = self
            .registry
            .add(&mut list, &self.context(), &spec, false, original)
            .map_err(CreateError::Assemble)?;
        log::info!("vm {name}: created");
        Ok(vm)
    }

    /// Takes a stopped VM out of the world. Its memory is free as soon as each home of its vCPUs has gone round its loop.
    ///
    /// # Errors
    /// [`DestroyError`].
    pub fn destroy(&self, name: &str) -> Result<(), DestroyError> {
        let mut list = self.registry.lock();
        let mut numbered = list.vms.iter().enumerate();
        let named = numbered.find(|(_, vm)| vm.name() == name);
        let (at, vm) = named.ok_or(DestroyError::NoVm)?;
        if !vm.retire() {
            return Err(DestroyError::NotStopped);
        }
        list.vms.remove(at);
        self.registry.generation.fetch_add(1, Ordering::Release);
        drop(list);
        for porch in self.porches {
            porch.see_off();
        }
        log::info!("vm {name}: destroyed");
        Ok(())
    }
}
