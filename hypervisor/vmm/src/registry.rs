//! Which VMs there are, and how they come and go.

use crate::saved::stream::Source;
use crate::vm::Vm;
use crate::vm::assemble::{self, AssembleContext, AssembleError};
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
    /// Number of changes to the list.
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
        source: Option<Box<dyn Source>>,
    ) -> Result<Arc<Vm<H>>, AssembleError> {
        let (id, turn) = (list.next_id, &mut list.turn);
        let vm = assemble::assemble(context, id, spec, starts, source, turn)?;
        list.next_id += 1;
        list.vms.push(vm.clone());
        self.generation.fetch_add(1, Ordering::Release);
        Ok(vm)
    }

    /// Takes a stopped VM out of the list.
    pub(crate) fn remove(&self, list: &mut List<H>, name: &str) -> Result<(), DestroyError> {
        let mut numbered = list.vms.iter().enumerate();
        let named = numbered.find(|(_, vm)| vm.name() == name);
        let (at, vm) = named.ok_or(DestroyError::NoVm)?;
        if !vm.try_destroy() {
            return Err(DestroyError::NotStopped);
        }
        list.vms.remove(at);
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

impl<H: Host> List<H> {
    /// All VMs, in the order of their creation.
    pub(crate) fn vms(&self) -> &[Arc<Vm<H>>] {
        &self.vms
    }

    /// Returns the VM of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Vm<H>>> {
        self.vms.iter().find(|vm| vm.name() == name)
    }
}
