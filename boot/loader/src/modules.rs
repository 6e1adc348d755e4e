//! The files of the VMs. A VM that cannot be assembled is reported and skipped; the others start.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use handoff::{CONFIG_PATH, ConfigOrigin};
use vm_spec::{Config, VmSpec};

use crate::config::Plan;
use crate::console::say;
use crate::pages::Pages;
use crate::volume::{FileError, Volume};

/// Memory the hypervisor itself may need beside that of its guests.
const HYPERVISOR_BYTES: u64 = 16 << 20;

/// A file in memory.
pub(crate) struct LoadedFile {
    /// Its path as the configuration has it.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) pages: Pages,
}

/// Reads every file the configuration names, each once. A VM whose file cannot be read is marked with the reason.
pub(crate) fn load(volume: &mut Volume, plan: &mut Plan) -> Vec<LoadedFile> {
    let mut loaded = Vec::new();
    let files: Vec<String> = plan.config.files().into_iter().map(String::from).collect();
    for path in files {
        match volume.read_pages(&path) {
            Ok(pages) => loaded.push(LoadedFile { path, pages }),
            Err(FileError::Missing) if plan.origin == ConfigOrigin::BuiltIn => {
                do_without(&mut plan.config, &path)
            }
            Err(error) => {
                for vm in plan.config.vms.iter_mut() {
                    if vm.kernel == path {
                        mark(vm, &plan.text, &alloc::format!("its kernel {path} {error}"));
                    } else if vm.initrd.as_ref() == Some(&path) {
                        mark(vm, &plan.text, &alloc::format!("its initrd {path} {error}"));
                    } else if vm.modules.iter().any(|module| module.path == path) {
                        mark(vm, &plan.text, &alloc::format!("its module {path} {error}"));
                    }
                }
            }
        }
    }
    loaded
}

/// The built-in configuration names what may be there, not what must.
fn do_without(config: &mut Config, path: &str) {
    if path == Config::BUILT_IN_KERNEL {
        config.vms.clear();
        say!("  {path}: not there either, so there is no VM. To have one, write {CONFIG_PATH}:\n");
        say!(
            "    [[vm]]\n    name = \"mine\"\n    memory = \"512M\"\n    kernel = \"path/on/this/volume/vmlinuz\""
        );
        say!("    initrd = \"path/on/this/volume/initrd.img\"\n    cmdline = \"console=ttyS0\"\n");
    } else {
        config.vms.iter_mut().for_each(|vm| vm.initrd = None);
    }
}

/// Marks the VMs that start by themselves and find no memory, in the order of the file, and any that never could.
pub(crate) fn check_memory(plan: &mut Plan, usable_bytes: u64) {
    let available_bytes = usable_bytes.saturating_sub(HYPERVISOR_BYTES);
    let mut left_bytes = available_bytes;
    for vm in plan.config.vms.iter_mut().filter(|vm| vm.problem.is_none()) {
        let starts_now = vm.autostart && !vm.is_template;
        let limit_bytes = if starts_now {
            left_bytes
        } else {
            available_bytes
        };
        if vm.memory_bytes > limit_bytes {
            let (wanted, left) = (vm.memory_bytes >> 20, limit_bytes >> 20);
            mark(
                vm,
                &plan.text,
                &alloc::format!("it wants {wanted} MiB of memory, {left} MiB are left"),
            );
        } else if starts_now {
            left_bytes -= vm.memory_bytes;
        }
    }
}

fn mark(vm: &mut VmSpec, text: &str, reason: &str) {
    if vm.problem.is_some() {
        return;
    }
    let message = alloc::format!("VM {} is skipped: {reason}", vm.name);
    if text.is_empty() {
        say!("\nerror: {message}\n");
    } else {
        let error = vm.error(
            text,
            &message,
            "the other VMs start; correct this one and start the machine again",
        );
        say!("\nerror: {error}\n");
    }
    vm.problem = Some(reason.to_string());
}

/// Prints which VMs will run.
pub(crate) fn say_what_starts(plan: &Plan) {
    for vm in plan.config.vms.iter().filter(|vm| vm.problem.is_none()) {
        let when = if vm.is_template {
            ", a template"
        } else if vm.autostart {
            ""
        } else {
            ", started by hand"
        };
        say!(
            "  VM {}: {} vCPU, {} MiB, {}{when}",
            vm.name,
            vm.cpus,
            vm.memory_bytes >> 20,
            vm.kernel
        );
    }
    if plan.config.vms.iter().all(|vm| vm.problem.is_some()) {
        say!("  no VM can start; the operator's prompt will be there");
    }
}
