//! From a specification to a VM: RAM, second-level tables, board, vCPUs on their home CPUs.

use crate::cpu::inbox::{Arrival, CpuInbox};
use crate::saved::stream::Source;
use crate::vcpu::stats::Stats;
use crate::vm::kernel::{self, Image, Module, NoFile};
use crate::vm::memory::{Incoming, RamWork};
use crate::vm::{Messages, Vm};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Board, BoardConfig, Cables, Cpus, Mailbox, Overlap};
use chipset::LocalApic;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use cpu_model::{CpuModel, CpuPlan, Vendor};
use guest_boot::MemoryLayout;
use host::{Backing, Host, NoMemory, NotedName, Permissions, Slat};
use sched::Share;
use spin::Mutex;
use time::Deadline;
use vcpu::ArchState;
use vm_spec::VmSpec;

/// Physical-address bits a guest has at most; four-level second-level tables cover no more.
const PHYSICAL_BITS: u8 = 48;

/// Why a VM could not be assembled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssembleError {
    /// There is not so much memory.
    NoMemory {
        /// Memory that the VM wants.
        wanted_bytes: u64,
        /// Memory that is free.
        free_bytes: u64,
    },
    /// A file it names is not on the boot volume.
    NoFile(String),
    /// The loader found a problem.
    Problem(String),
    /// It is pinned to CPUs that are not there.
    NoCpu(u32),
    /// Two devices of the board want the same place: our bug.
    Overlap(Overlap),
    /// Its kernel cannot be started.
    Kernel(String),
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory {
                wanted_bytes,
                free_bytes,
            } => write!(
                f,
                "it wants {} MiB of memory and {} MiB are free; give it less in caisson.toml",
                wanted_bytes >> 20,
                free_bytes >> 20
            ),
            Self::NoFile(path) => write!(f, "the boot volume has no file {path:?}"),
            Self::Problem(problem) => write!(f, "{problem}"),
            Self::NoCpu(cpu) => write!(
                f,
                "cpu-affinity names CPU {cpu}, which this machine does not have"
            ),
            Self::Overlap(overlap) => write!(
                f,
                "{} and {} both claim {:#x}",
                overlap.first, overlap.second, overlap.at
            ),
            Self::Kernel(why) => write!(f, "{why}"),
        }
    }
}

/// The surroundings a VM is assembled in.
pub(crate) struct AssembleContext<'a, H: Host> {
    pub(crate) host: &'static H,
    pub(crate) cables: &'static dyn Cables,
    pub(crate) inboxes: &'a [CpuInbox<H>],
    pub(crate) modules: &'a [Module],
}

/// Builds VM number `id` and sends its vCPUs to their homes; `turn` says where the next vCPU goes.
///
/// `starts`: as soon as all vCPUs are there; otherwise it waits for the operator. With a `source` it becomes what comes from there.
pub(crate) fn assemble<H: Host>(
    context: &AssembleContext<'_, H>,
    id: usize,
    spec: &VmSpec,
    starts: bool,
    source: Option<Box<dyn Source>>,
    turn: &mut usize,
) -> Result<Arc<Vm<H>>, AssembleError> {
    if let Some(problem) = &spec.problem {
        return Err(AssembleError::Problem(problem.clone()));
    }
    let image =
        Image::find(context.modules, spec).map_err(|NoFile(path)| AssembleError::NoFile(path))?;
    let layout = MemoryLayout::new(spec.memory_bytes);
    check_kernel(context.host, spec, &image, &layout)?;
    let homes = homes(context, spec, turn)?;
    let (ram, slat) = memory(context.host, spec, &layout)?;
    let model = model(context.host, spec);
    let mailboxes = mailboxes(&homes);
    let cpus = Arc::new(Cpus::new(mailboxes.clone()));
    let home = homes.first().ok_or(AssembleError::NoCpu(0))?.bell.clone();
    let ram = Arc::new(ram);
    let board = Board::new(&BoardConfig {
        services: context.host,
        wall_clock: context.host.wall_clock_at_start(),
        spec,
        layout: &layout,
        kernel: image.kernel,
        initrd: image.initrd,
        ram: &ram,
        cpus,
        home,
        far_ends: context.cables.connect(id, &spec.name),
    })
    .map_err(AssembleError::Overlap)?;
    let incoming = source.map(|source| Box::new(Incoming::new(source, layout.backed())));
    let vm = Arc::new(Vm {
        host: context.host,
        id,
        noted: NotedName::new(&spec.name),
        spec: spec.clone(),
        layout,
        image,
        ram,
        ram_work: RamWork::new(incoming),
        slat,
        model,
        board,
        stats: (0..spec.cpus).map(|_| Arc::new(Stats::default())).collect(),
        share: Arc::new(Share::new(spec.weight, spec.cap_percent)),
        held: (0..spec.cpus).map(|_| Mutex::new(None)).collect(),
        start: Mutex::new(ArchState::after_reset()),
        started_tsc: AtomicU64::new(0),
        started_ns: AtomicU64::new(0),
        arrived: AtomicU32::new(0),
        is_incomplete: AtomicBool::new(false),
        starts_by_itself: starts,
        is_done: AtomicBool::new(!starts),
        restart_at: Deadline::none(),
        stops_hard_at: Deadline::none(),
        messages: Messages::default(),
        is_described: AtomicBool::new(false),
    });
    let places = homes.into_iter().zip(mailboxes).zip(&vm.stats);
    for (id, ((home, mailbox), stats)) in places.enumerate() {
        home.send(Arrival {
            vm: vm.clone(),
            id,
            mailbox,
            stats: stats.clone(),
        });
    }
    Ok(vm)
}

/// Makes the mailbox of each vCPU, by the homes they have.
fn mailboxes<H: Host>(homes: &[&CpuInbox<H>]) -> Vec<Arc<Mailbox>> {
    let mailboxes = homes.iter().enumerate().map(|(id, home)| {
        let addressing = LocalApic::new(id as u32, id == 0).addressing();
        Arc::new(Mailbox::new(home.bell.clone(), addressing))
    });
    mailboxes.collect()
}

/// Finds a kernel that cannot start before memory is taken for it.
fn check_kernel<H: Host>(
    host: &H,
    spec: &VmSpec,
    image: &Image,
    layout: &MemoryLayout,
) -> Result<(), AssembleError> {
    let modules = image.modules(spec);
    let vendor = Vendor::of(host.cpuid(0, 0));
    let dry_run = image.boot(spec, &modules, guest_boot::TABLES.start(), vendor);
    guest_boot::plan(&dry_run, layout)
        .map_err(|error| AssembleError::Kernel(kernel::problem(spec, &error)))?;
    Ok(())
}

/// Takes RAM for a VM, and maps it.
fn memory<H: Host>(
    host: &H,
    spec: &VmSpec,
    layout: &MemoryLayout,
) -> Result<(H::Ram, H::Slat), AssembleError> {
    let no_memory = |NoMemory| AssembleError::NoMemory {
        wanted_bytes: spec.memory_bytes,
        free_bytes: host.memory().free,
    };
    let ram = host.allocate_ram(&layout.backed()).map_err(no_memory)?;
    // What somebody else left there is not for the operator's eyes either, who may look before the VM starts.
    #[expect(
        clippy::expect_used,
        reason = "going on would show an operator what another VM left"
    )]
    guest_boot::clear_screen(&ram).expect("the layout backs the window of the screen");
    let mut slat = host.new_slat().map_err(no_memory)?;
    let mut mapped = Ok(());
    ram.for_each_piece(&mut |range, to| {
        if mapped.is_ok() {
            mapped = slat.map(range, to, Permissions::All);
        }
    });
    mapped.map_err(no_memory)?;
    Ok((ram, slat))
}

/// The CPU model of a VM.
fn model<H: Host>(host: &H, spec: &VmSpec) -> CpuModel {
    CpuModel::new(
        |leaf, subleaf| host.cpuid(leaf, subleaf),
        &CpuPlan {
            vcpus: spec.cpus,
            tsc_khz: host.clock().khz(),
            apic_timer_khz: (chipset::APIC_TIMER_HZ / 1_000) as u32,
            physical_bits: PHYSICAL_BITS,
            offers_pcid: true,
        },
    )
}

/// The home CPU of each vCPU: in turn over the CPUs it may use.
fn homes<'a, H: Host>(
    context: &AssembleContext<'a, H>,
    spec: &VmSpec,
    turn: &mut usize,
) -> Result<Vec<&'a CpuInbox<H>>, AssembleError> {
    let allowed: Vec<&CpuInbox<H>> = match &spec.cpu_affinity {
        Some(cpus) => cpus
            .iter()
            .map(|cpu| {
                let inbox = context.inboxes.get(*cpu as usize);
                inbox.ok_or(AssembleError::NoCpu(*cpu))
            })
            .collect::<Result<_, _>>()?,
        None => context.inboxes.iter().collect(),
    };
    let skipped = turn.checked_rem(allowed.len()).unwrap_or(0);
    let count = spec.cpus as usize;
    *turn += count;
    Ok(allowed
        .into_iter()
        .cycle()
        .skip(skipped)
        .take(count)
        .collect())
}
