//! The configuration as data.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{DEFAULT_WEIGHT, SpecError};

/// Everything `caisson.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Settings of the whole machine.
    pub host: HostSpec,
    /// The VMs, in the order of the file. Names are unique.
    pub vms: Vec<VmSpec>,
}

impl Config {
    /// The kernel of the VM in [`built_in`](Self::built_in).
    pub const BUILT_IN_KERNEL: &'static str = "guests/default/vmlinuz";

    /// The initrd of the VM in [`built_in`](Self::built_in).
    pub const BUILT_IN_INITRD: &'static str = "guests/default/initrd.img";

    /// Returns the configuration used where there is no `caisson.toml`: one VM called `default`,
    /// with one vCPU and 512 MiB.
    #[must_use]
    pub fn built_in() -> Self {
        let vm = VmSpec {
            initrd: Some(String::from(Self::BUILT_IN_INITRD)),
            cmdline: String::from("console=ttyS0"),
            ..VmSpec::new("default", Self::BUILT_IN_KERNEL)
        };
        Self {
            host: HostSpec::default(),
            vms: alloc::vec![vm],
        }
    }

    /// The files the configuration names, each once, in the order of the file.
    pub fn files(&self) -> Vec<&str> {
        let mut files = Vec::new();
        for vm in &self.vms {
            let modules = vm.modules.iter().map(|module| &module.path);
            for path in core::iter::once(&vm.kernel)
                .chain(&vm.initrd)
                .chain(modules)
            {
                if !files.contains(&path.as_str()) {
                    files.push(path.as_str());
                }
            }
        }
        files
    }
}

/// The `[host]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// The least important message that is shown.
    pub log: LogLevel,
    /// Where the console is; may be empty.
    pub consoles: Vec<Console>,
    /// True if the machine is switched off when the last VM has ended.
    pub shutdown_when_done: bool,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            log: LogLevel::Info,
            consoles: alloc::vec![Console::Serial, Console::Screen],
            shutdown_when_done: false,
        }
    }
}

/// One `[[vm]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Letters, digits, `-` and `_`, at most 32.
    pub name: String,
    /// Number of vCPUs, 1 to [`MAX_CPUS`](crate::MAX_CPUS).
    pub cpus: u32,
    /// The size of its memory, a multiple of 4 KiB.
    pub memory_bytes: u64,
    /// The path of its kernel on the boot volume.
    pub kernel: String,
    /// The path of its initial RAM disk.
    pub initrd: Option<String>,
    /// Further files for a Multiboot kernel, after the initial RAM disk, which is its first module.
    pub modules: Vec<ModuleSpec>,
    /// Text that the kernel is told.
    pub cmdline: String,
    /// By which door a kernel that has several is entered, or a flat binary started; `None` for the best a kernel has.
    pub entry: Option<EntryMode>,
    /// Where a flat binary lies, and starts; `None` for a kernel that says so itself. Never without `entry`.
    pub load_address: Option<u64>,
    /// True if it starts with the machine; else it waits for the operator.
    pub autostart: bool,
    /// Action when the guest asks for a reset.
    pub on_reboot: After,
    /// Action when the guest crashes: triple fault, or something the hypervisor cannot answer.
    pub on_crash: After,
    /// True if a write to port 0xF4 ends the VM with the value written.
    pub exit_port: bool,
    /// True if there are two PCI functions for tests of the hypervisor itself.
    pub has_test_devices: bool,
    /// The physical CPUs its vCPUs may use, by number from 0; `None` for any. Never empty, no number twice.
    pub cpu_affinity: Option<Vec<u32>>,
    /// Its share of CPUs that several VMs want, against the weights of the others; a VM has this much for each of its vCPUs.
    pub weight: u32,
    /// The most it may use, in percent of one physical CPU, all its vCPUs together; `None` for no limit.
    pub cap_percent: Option<u32>,
    /// True if it is no VM yet, but a template that the operator may create VMs from.
    pub is_template: bool,
    /// Which of its consoles the operator meets first.
    pub console: GuestConsole,
    /// Where its name stands in the file, for messages; line 0 in a built-in configuration.
    pub place: Place,
    /// Why it cannot start, found by the loader: a file is missing, memory is short. [`parse`](crate::parse) leaves it `None`.
    pub problem: Option<String>,
}

impl VmSpec {
    /// A VM of the given name and kernel path with the defaults in everything else.
    #[must_use]
    pub fn new(name: &str, kernel: &str) -> Self {
        Self {
            name: String::from(name),
            cpus: 1,
            memory_bytes: 512 << 20,
            kernel: String::from(kernel),
            initrd: None,
            modules: Vec::new(),
            cmdline: String::new(),
            entry: None,
            load_address: None,
            autostart: true,
            on_reboot: After::Restart,
            on_crash: After::Stop,
            exit_port: false,
            has_test_devices: false,
            cpu_affinity: None,
            weight: DEFAULT_WEIGHT,
            cap_percent: None,
            is_template: false,
            console: GuestConsole::Serial,
            place: Place::default(),
            problem: None,
        }
    }

    /// An error about this VM that points at it in `text`, the file it was read from.
    #[must_use]
    pub fn error(&self, text: &str, message: &str, hint: &str) -> SpecError {
        SpecError::at_place(text, self.place, message, hint)
    }
}

/// A module of a Multiboot kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSpec {
    /// The path of its file on the boot volume.
    pub path: String,
    /// Text that the kernel is told about it; may be empty.
    pub cmdline: String,
}

/// The state of the CPU in which a kernel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryMode {
    /// Real mode.
    Real16,
    /// Flat protected mode without paging.
    Protected32,
    /// Long mode, the low memory mapped one to one.
    Long64,
}

/// A console of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestConsole {
    /// Its first serial port.
    Serial,
    /// Its VGA text screen and its keyboard.
    Screen,
}

/// A place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
}

/// Action at the end of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// It starts again.
    Restart,
    /// It stays stopped.
    Stop,
}

/// Importance of a message, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something that an operator wants to know.
    Info,
    /// Something that a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// A console of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Console {
    /// The first serial port.
    Serial,
    /// The screen and the keyboard.
    Screen,
}
