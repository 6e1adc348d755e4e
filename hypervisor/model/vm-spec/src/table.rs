//! The tables of the file and the keys they have.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use toml::de::DeTable;

use crate::error::place_of;
use crate::read::{Entry, Known, entries, printable};
use crate::{
    After, Config, Console, EntryMode, GuestConsole, HostSpec, LogLevel, MAX_CPUS,
    MAX_MEMORY_BYTES, MAX_NAME_BYTES, MAX_VMS, MAX_WEIGHT, MIN_MEMORY_BYTES, ModuleSpec, SpecError,
    VmSpec,
};

const FILE_KEYS: &[Known] = &[("host", "[host]"), ("vm", "[[vm]]")];

const HOST_KEYS: &[Known] = &[
    ("log", "log = \"info\""),
    ("console", "console = [\"serial\", \"screen\"]"),
    ("shutdown-when-done", "shutdown-when-done = false"),
];

const VM_KEYS: &[Known] = &[
    ("name", "name = \"debian\""),
    ("cpus", "cpus = 2"),
    ("memory", "memory = \"512M\""),
    ("kernel", "kernel = \"guests/debian/vmlinuz\""),
    ("initrd", "initrd = \"guests/debian/initrd.img\""),
    (
        "modules",
        "modules = [\"guests/xen/vmlinuz root=/dev/ram0\"]",
    ),
    ("cmdline", "cmdline = \"console=ttyS0\""),
    ("entry", "entry = \"32\""),
    ("load-address", "load-address = \"1M\""),
    ("autostart", "autostart = true"),
    ("on-reboot", "on-reboot = \"restart\""),
    ("on-crash", "on-crash = \"stop\""),
    ("exit-port", "exit-port = false"),
    ("test-devices", "test-devices = false"),
    ("cpu-affinity", "cpu-affinity = [0, 1]"),
    ("weight", "weight = 100"),
    ("cap", "cap = 50"),
    ("template", "template = false"),
    ("console", "console = \"serial\""),
    ("firmware", "kernel = \"guests/debian/vmlinuz\""),
    ("disk", "initrd = \"guests/debian/initrd.img\""),
];

const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const CONSOLES: [(&str, Console); 2] = [("serial", Console::Serial), ("screen", Console::Screen)];
const AFTER: [(&str, After); 2] = [("restart", After::Restart), ("stop", After::Stop)];

const ENTRIES: [(&str, EntryMode); 3] = [
    ("16", EntryMode::Real16),
    ("32", EntryMode::Protected32),
    ("64", EntryMode::Long64),
];
const GUEST_CONSOLES: [(&str, GuestConsole); 2] = [
    ("serial", GuestConsole::Serial),
    ("screen", GuestConsole::Screen),
];

/// Physical CPU numbers that `cpu-affinity` may name.
const CPU_NUMBERS: Range<u64> = 0..1024;
/// Linux's own limit on x86 is 2,048 with the final zero.
const MAX_CMDLINE_BYTES: usize = 2047;
/// Modules a VM may have: what fits below the first page of a Multiboot information.
const MAX_MODULES: usize = 16;
/// One percent of a CPU to all vCPUs busy.
const CAP_PERCENT: Range<u64> = 1..MAX_CPUS as u64 * 100 + 1;

pub(crate) fn config(text: &str) -> Result<Config, SpecError> {
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let hint =
            "a line is `key = value`, a `[table]` or a `# comment`; texts stand in double quotes";
        SpecError::new(text, span, printable_message(error.message()), hint)
    })?;
    let mut config = Config::default();
    for entry in entries(text, document.get_ref(), "the file", FILE_KEYS)? {
        match entry.name() {
            "host" => config.host = host(text, entry.table()?)?,
            _ => config.vms = vms(text, &entry)?,
        }
    }
    Ok(config)
}

/// The parser's message on one line, however it was worded.
fn printable_message(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ")
}

fn host(text: &str, table: &DeTable<'_>) -> Result<HostSpec, SpecError> {
    let mut host = HostSpec::default();
    for entry in entries(text, table, "[host]", HOST_KEYS)? {
        match entry.name() {
            "log" => host.log = entry.choice(&LOG_LEVELS)?,
            "console" => host.consoles = entry.choices(&CONSOLES)?,
            _ => host.shutdown_when_done = entry.boolean()?,
        }
    }
    Ok(host)
}

fn vms(text: &str, list: &Entry<'_>) -> Result<Vec<VmSpec>, SpecError> {
    let mut vms: Vec<VmSpec> = Vec::new();
    for (span, table) in list.tables()? {
        if vms.len() == MAX_VMS {
            return Err(SpecError::new(
                text,
                span,
                format!("more than {MAX_VMS} VMs"),
                "remove some",
            ));
        }
        vms.push(vm(text, span, table, &vms)?);
    }
    Ok(vms)
}

fn vm(
    text: &str,
    span: Range<usize>,
    table: &DeTable<'_>,
    others: &[VmSpec],
) -> Result<VmSpec, SpecError> {
    let mut vm = VmSpec::new("", "");
    for entry in entries(text, table, "[[vm]]", VM_KEYS)? {
        match entry.name() {
            "name" => {
                vm.name = name(text, &entry, others)?;
                vm.place = place_of(text, entry.key_span().start);
            }
            "cpus" => vm.cpus = small(entry.number(1..u64::from(MAX_CPUS) + 1)?),
            "memory" => vm.memory_bytes = memory(&entry)?,
            "kernel" => vm.kernel = entry.path()?,
            "initrd" => vm.initrd = Some(entry.path()?),
            "cmdline" => vm.cmdline = cmdline(&entry)?,
            "autostart" => vm.autostart = entry.boolean()?,
            "on-reboot" => vm.on_reboot = entry.choice(&AFTER)?,
            "on-crash" => vm.on_crash = entry.choice(&AFTER)?,
            "exit-port" => vm.exit_port = entry.boolean()?,
            "test-devices" => vm.has_test_devices = entry.boolean()?,
            "cpu-affinity" => {
                vm.cpu_affinity =
                    Some(entry.numbers(CPU_NUMBERS)?.into_iter().map(small).collect());
            }
            "modules" => vm.modules = modules(&entry)?,
            "entry" => vm.entry = Some(entry.choice(&ENTRIES)?),
            "load-address" => vm.load_address = Some(load_address(&entry)?),
            "weight" => vm.weight = small(entry.number(1..u64::from(MAX_WEIGHT) + 1)?),
            "cap" => vm.cap_percent = Some(small(entry.number(CAP_PERCENT)?)),
            "template" => vm.is_template = entry.boolean()?,
            "console" => vm.console = entry.choice(&GUEST_CONSOLES)?,
            later => {
                let message = format!("`{later}` is not yet supported in this version");
                let hint = "a VM starts from a kernel: kernel = \"guests/debian/vmlinuz\", initrd = \"...\"";
                return Err(SpecError::new(text, entry.key_span(), message, hint));
            }
        }
    }
    for (key, value, example) in [
        ("name", &vm.name, "add a line: name = \"debian\""),
        (
            "kernel",
            &vm.kernel,
            "add a line: kernel = \"guests/debian/vmlinuz\"",
        ),
    ] {
        if value.is_empty() {
            return Err(SpecError::new(
                text,
                span,
                format!("this VM has no `{key}`"),
                example,
            ));
        }
    }
    if vm.load_address.is_some() && vm.entry.is_none() {
        return Err(SpecError::new(
            text,
            span,
            "a VM with `load-address` needs `entry`",
            "add a line: entry = \"16\", \"32\" or \"64\"",
        ));
    }
    Ok(vm)
}

fn modules(entry: &Entry<'_>) -> Result<Vec<ModuleSpec>, SpecError> {
    let modules = entry.paths_with_text()?;
    if modules.len() > MAX_MODULES {
        return Err(entry.wrong(format!("a VM has at most {MAX_MODULES} modules")));
    }
    Ok(modules
        .into_iter()
        .map(|(path, cmdline)| ModuleSpec { path, cmdline })
        .collect())
}

fn load_address(entry: &Entry<'_>) -> Result<u64, SpecError> {
    let at = entry.size()?;
    if at >= 4 << 30 {
        return Err(entry.wrong("`load-address` must lie below 4G"));
    }
    Ok(at)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn name(text: &str, entry: &Entry<'_>, others: &[VmSpec]) -> Result<String, SpecError> {
    let name = entry.text()?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(entry.wrong(format!("a name has 1 to {MAX_NAME_BYTES} characters")));
    }
    if let Some(bad) = name.chars().find(|c| !is_name_char(*c)) {
        let bad = printable(bad.encode_utf8(&mut [0; 4]));
        return Err(entry.wrong(format!("a name has letters, digits, - and _, not `{bad}`")));
    }
    if let Some(other) = others.iter().find(|other| other.name == name) {
        let message = format!(
            "two VMs are called `{name}`; the other is in line {}",
            other.place.line
        );
        return Err(SpecError::new(
            text,
            entry.key_span(),
            message,
            "give this one another name",
        ));
    }
    Ok(name.to_string())
}

/// Returns whether a VM can be called `name`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn memory(entry: &Entry<'_>) -> Result<u64, SpecError> {
    let bytes = entry.size()?;
    if bytes < MIN_MEMORY_BYTES {
        return Err(entry.wrong(format!(
            "{bytes} bytes of memory are too few: a VM has at least 1M"
        )));
    }
    if bytes > MAX_MEMORY_BYTES {
        return Err(entry.wrong("a VM has at most 1T of memory"));
    }
    if !bytes.is_multiple_of(4096) {
        return Err(entry.wrong("`memory` must be a multiple of 4K"));
    }
    Ok(bytes)
}

fn cmdline(entry: &Entry<'_>) -> Result<String, SpecError> {
    let text = entry.text()?;
    if text.len() > MAX_CMDLINE_BYTES {
        return Err(entry.wrong(format!(
            "`cmdline` has {} bytes, at most {MAX_CMDLINE_BYTES} fit",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(entry.wrong("`cmdline` has a zero byte, which would end it there"));
    }
    Ok(text.to_string())
}
