//! All VMs and what they share: how the machine starts them, and what its operator does to them.

use crate::cpu::home::Home;
use crate::cpu::inbox::CpuInbox;
use crate::cpu::run::{self, Chores};
use crate::registry::{CreateError, DestroyError, Registry};
use crate::saved::NotPaused;
use crate::saved::stream::{Saving, Source};
use crate::vm::Vm;
use crate::vm::assemble::AssembleContext;
use crate::vm::kernel::Module;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Bell, Cables};
use host::{CpuId, Host};
use vm_spec::{Config, VmSpec};

/// All VMs and what they share.
pub struct Hypervisor<H: Host> {
    host: &'static H,
    cables: &'static dyn Cables,
    pub(crate) inboxes: &'static [CpuInbox<H>],
    registry: Registry<H>,
    config: Config,
    modules: Vec<Module>,
}

/// Assembles the VMs of `config`, templates apart; they start as soon as their home CPUs are in [`Hypervisor::run_cpu`].
///
/// A VM that cannot be assembled is reported and left out. Call it once, on the boot CPU, when [`Host::cpu_count`] is final.
pub fn start<H: Host>(
    host: &'static H,
    config: &Config,
    modules: &[Module],
    cables: &'static dyn Cables,
) -> &'static Hypervisor<H> {
    emulate::warm_up();
    let inboxes: Vec<CpuInbox<H>> = (0..host.cpu_count())
        .map(|cpu| CpuInbox::new(Arc::new(Bell::new(CpuId(cpu), host))))
        .collect();
    let inboxes: &'static [CpuInbox<H>] = Vec::leak(inboxes);
    let hypervisor = Box::leak(Box::new(Hypervisor {
        host,
        cables,
        inboxes,
        registry: Registry::new(),
        config: config.clone(),
        modules: modules.to_vec(),
    }));
    let registry = &hypervisor.registry;
    let mut list = registry.lock();
    for spec in config.vms.iter().filter(|spec| !spec.is_template) {
        if let Err(error) =
            registry.add(&mut list, &hypervisor.context(), spec, spec.autostart, None)
        {
            log::error!("vm {}: not started: {error}", spec.name);
        }
    }
    drop(list);
    hypervisor
}

impl<H: Host> Hypervisor<H> {
    /// The machine.
    #[must_use]
    pub fn host(&self) -> &'static H {
        self.host
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the context in which a VM is assembled.
    fn context(&self) -> AssembleContext<'_, H> {
        AssembleContext {
            host: self.host,
            cables: self.cables,
            inboxes: self.inboxes,
            modules: &self.modules,
        }
    }

    /// Runs the calling CPU for the rest of its life; `chores` are done on it now and then.
    pub fn run_cpu(&'static self, cpu: &mut H::Cpu, chores: Option<&mut dyn Chores>) -> ! {
        let id = self.host.cpu_id(cpu);
        #[expect(
            clippy::indexing_slicing,
            reason = "`start` made one for each CPU that the host counts"
        )]
        let inbox = &self.inboxes[id.0 as usize];
        let mut home = Home::new(self.host, inbox);
        // Whatever was left before this CPU came here is looked at in the first round.
        inbox.bell.ring();
        run::run_cpu(self.host, cpu, &mut home, chores)
    }

    /// All VMs now, in the order of their creation.
    #[must_use]
    pub fn vms(&self) -> Vec<Arc<Vm<H>>> {
        self.registry.lock().vms().to_vec()
    }

    /// Returns a number that changes with the list of VMs.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.registry.generation()
    }

    /// Returns how long each physical CPU has idled since it came up, in ns.
    pub fn idle_ns(&self) -> impl Iterator<Item = u64> {
        let now = self.host.now();
        self.inboxes
            .iter()
            .map(move |inbox| inbox.load.idle_ns(now))
    }

    /// The VM of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Vm<H>>> {
        self.registry.lock().find(name).cloned()
    }

    /// The VM with this number; see [`Vm::id`].
    #[must_use]
    pub fn by_id(&self, id: usize) -> Option<Arc<Vm<H>>> {
        let list = self.registry.lock();
        list.vms().iter().find(|vm| vm.id() == id).cloned()
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

    /// Makes a copy of a paused VM under another name: the same memory, the same state, paused as
    /// well. It is there at once and [`VmState::Paused`](crate::VmState::Paused) when its memory is
    /// copied; if the original is resumed sooner, the copy is aborted and stays empty.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is kept then.
    pub fn copy(&self, original: &str, name: &str) -> Result<Arc<Vm<H>>, CreateError> {
        let original = self
            .find(original)
            .ok_or_else(|| CreateError::NoVm(original.into()))?;
        let spec = original.spec.clone();
        let saving = Saving::new(original).map_err(|NotPaused| CreateError::NotPaused)?;
        self.create_as(&spec, name, Some(Box::new(saving)))
    }

    /// Makes a VM, with a `source` one that becomes what comes from there.
    pub(crate) fn create_as(
        &self,
        spec: &VmSpec,
        name: &str,
        source: Option<Box<dyn Source>>,
    ) -> Result<Arc<Vm<H>>, CreateError> {
        if !vm_spec::is_name(name) {
            return Err(CreateError::BadName(name.into()));
        }
        let mut list = self.registry.lock();
        if list.find(name).is_some() {
            return Err(CreateError::Taken(name.into()));
        }
        let spec = VmSpec {
            name: name.into(),
            is_template: false,
            ..spec.clone()
        };
        let vm = self
            .registry
            .add(&mut list, &self.context(), &spec, false, source)
            .map_err(CreateError::Assemble)?;
        log::info!("vm {name}: created");
        Ok(vm)
    }

    /// Takes a stopped VM out of the world. Its memory is free as soon as each home of its vCPUs has gone round its loop.
    ///
    /// # Errors
    /// [`DestroyError`].
    pub fn destroy(&self, name: &str) -> Result<(), DestroyError> {
        self.registry.remove(&mut self.registry.lock(), name)?;
        for inbox in self.inboxes {
            inbox.vm_destroyed();
        }
        log::info!("vm {name}: destroyed");
        Ok(())
    }
}
