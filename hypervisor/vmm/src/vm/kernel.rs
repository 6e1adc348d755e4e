//! The files a VM starts from, and what its specification says about starting them.

use addr::Gpa;
use alloc::string::String;
use alloc::vec::Vec;
use cpu_model::Vendor;
use guest_boot::{Boot, CallInsn, Entry, LoadError};
use vm_spec::{EntryMode, VmSpec};

/// A file the loader read.
#[derive(Clone, Copy)]
pub struct Module {
    /// Its path as the configuration names it.
    pub name: &'static str,
    /// Its content.
    pub bytes: &'static [u8],
}

/// The loader brought no file of this name.
#[derive(Debug)]
pub(crate) struct NoFile(pub(crate) String);

/// The files.
pub(crate) struct Image {
    pub(crate) kernel: &'static [u8],
    pub(crate) initrd: Option<&'static [u8]>,
    /// In the order of the specification's.
    pub(crate) modules: Vec<&'static [u8]>,
}

impl Image {
    /// Finds them among what the loader brought.
    pub(crate) fn find(files: &[Module], spec: &VmSpec) -> Result<Self, NoFile> {
        let file = |path: &str| {
            let named = files.iter().find(|file| file.name == path);
            named
                .map(|file| file.bytes)
                .ok_or_else(|| NoFile(path.into()))
        };
        let modules = spec.modules.iter().map(|module| file(&module.path));
        Ok(Self {
            kernel: file(&spec.kernel)?,
            initrd: spec.initrd.as_deref().map(file).transpose()?,
            modules: modules.collect::<Result<_, _>>()?,
        })
    }

    /// The modules with what the kernel is told about them.
    pub(crate) fn modules<'a>(&self, spec: &'a VmSpec) -> Vec<guest_boot::Module<'a>> {
        let files = self.modules.iter().zip(&spec.modules);
        let modules = files.map(|(bytes, module)| guest_boot::Module {
            bytes,
            cmdline: &module.cmdline,
        });
        modules.collect()
    }

    /// Returns what the guest is started with, on a CPU of this vendor.
    pub(crate) fn boot<'a>(
        &self,
        spec: &'a VmSpec,
        modules: &'a [guest_boot::Module<'a>],
        rsdp: Gpa,
        vendor: Vendor,
    ) -> Boot<'a> {
        Boot {
            kernel: self.kernel,
            initrd: self.initrd,
            modules,
            cmdline: &spec.cmdline,
            entry: spec.entry.map(|entry| match entry {
                EntryMode::Real16 => Entry::Real16,
                EntryMode::Protected32 => Entry::Protected32,
                EntryMode::Long64 => Entry::Long64,
            }),
            load_address: spec.load_address,
            rsdp,
            call: match vendor {
                Vendor::Intel => CallInsn::Vmcall,
                Vendor::Amd => CallInsn::Vmmcall,
            },
        }
    }
}

/// A kernel's problem, with the file it is in.
pub(crate) fn problem(spec: &VmSpec, error: &LoadError) -> String {
    alloc::format!("kernel {:?} cannot be started: {error}", spec.kernel)
}
