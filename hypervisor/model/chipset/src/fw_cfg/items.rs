//! The items: numbers and files.

use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Numbers of the items that have a fixed one. (QEMU, docs/specs/fw_cfg and standard-headers/linux/qemu_fw_cfg.h)
pub mod key {
    /// `QEMU`.
    pub const SIGNATURE: u16 = 0x00;
    /// Bit 0: bytes by port; bit 1: copies to memory.
    pub const ID: u16 = 0x01;
    /// 16 bytes.
    pub const UUID: u16 = 0x02;
    /// Bytes of RAM, 64 bits.
    pub const RAM_SIZE: u16 = 0x03;
    /// Flag that there is no screen, 16 bits.
    pub const NO_GRAPHIC: u16 = 0x04;
    /// CPUs that run, 16 bits.
    pub const NB_CPUS: u16 = 0x05;
    /// Where the kernel proper goes, 32 bits.
    pub const KERNEL_ADDR: u16 = 0x07;
    /// Its length, 32 bits.
    pub const KERNEL_SIZE: u16 = 0x08;
    /// Where the initial RAM disk goes, 32 bits.
    pub const INITRD_ADDR: u16 = 0x0a;
    /// Its length, 32 bits.
    pub const INITRD_SIZE: u16 = 0x0b;
    /// Boot device, 16 bits.
    pub const BOOT_DEVICE: u16 = 0x0c;
    /// Count of NUMA nodes and what belongs to them, 64 bits each.
    pub const NUMA: u16 = 0x0d;
    /// Flag that firmware shows a menu, 16 bits.
    pub const BOOT_MENU: u16 = 0x0e;
    /// CPUs there may ever be, 16 bits.
    pub const MAX_CPUS: u16 = 0x0f;
    /// Where the kernel is entered, 32 bits.
    pub const KERNEL_ENTRY: u16 = 0x10;
    /// The kernel proper.
    pub const KERNEL_DATA: u16 = 0x11;
    /// The initial RAM disk.
    pub const INITRD_DATA: u16 = 0x12;
    /// Where the command line goes, 32 bits.
    pub const CMDLINE_ADDR: u16 = 0x13;
    /// Its length with its final zero, 32 bits.
    pub const CMDLINE_SIZE: u16 = 0x14;
    /// The command line with its final zero.
    pub const CMDLINE_DATA: u16 = 0x15;
    /// Where the real-mode part of a Linux kernel goes, 32 bits.
    pub const SETUP_ADDR: u16 = 0x16;
    /// Its length, 32 bits.
    pub const SETUP_SIZE: u16 = 0x17;
    /// The real-mode part, with its header filled in.
    pub const SETUP_DATA: u16 = 0x18;
    /// The directory of the files.
    pub const FILE_DIR: u16 = 0x19;
    /// The first file.
    pub const FILE_FIRST: u16 = 0x20;
}

/// Bytes by port, copies to memory.
const ID: u32 = 3;
/// Length of a file's name with its final zero.
const NAME_BYTES: usize = 56;

/// An item's content: borrowed from a file the VM starts from, or made for it.
type Content = Cow<'static, [u8]>;

/// Items there are to read.
#[derive(Clone, Debug)]
pub struct Items {
    /// Sorted by number.
    numbered: Vec<(u16, Content)>,
    /// Sorted by name.
    files: Vec<(&'static str, Content)>,
    directory: Vec<u8>,
}

impl Default for Items {
    fn default() -> Self {
        Self::new()
    }
}

impl Items {
    /// Signature, version, and an empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            numbered: Vec::new(),
            files: Vec::new(),
            directory: alloc::vec![0; 4],
        }
        .bytes(key::SIGNATURE, b"QEMU".as_slice())
        .u32(key::ID, ID)
    }

    /// With one more item; the last of a number counts.
    #[must_use]
    pub fn bytes(mut self, key: u16, content: impl Into<Content>) -> Self {
        let content = content.into();
        let at = self.numbered.partition_point(|(other, _)| *other < key);
        match self.numbered.get_mut(at) {
            Some((other, old)) if *other == key => *old = content,
            _ => self.numbered.insert(at, (key, content)),
        }
        self
    }

    /// With a 16-bit number.
    #[must_use]
    pub fn u16(self, key: u16, value: u16) -> Self {
        self.bytes(key, value.to_le_bytes().to_vec())
    }

    /// With a 32-bit number.
    #[must_use]
    pub fn u32(self, key: u16, value: u32) -> Self {
        self.bytes(key, value.to_le_bytes().to_vec())
    }

    /// With a 64-bit number.
    #[must_use]
    pub fn u64(self, key: u16, value: u64) -> Self {
        self.bytes(key, value.to_le_bytes().to_vec())
    }

    /// With a file; of its name at most 55 bytes are told.
    #[must_use]
    pub fn file(mut self, name: &'static str, content: impl Into<Content>) -> Self {
        let at = self.files.partition_point(|(other, _)| *other < name);
        self.files.insert(at, (name, content.into()));
        self.directory = self.make_directory();
        self
    }

    /// Count, then of each file length, number, two bytes of nothing, name. Big-endian.
    fn make_directory(&self) -> Vec<u8> {
        let mut directory = Vec::new();
        directory.extend((self.files.len() as u32).to_be_bytes());
        for (key, (name, content)) in (key::FILE_FIRST..).zip(&self.files) {
            directory.extend((content.len() as u32).to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut padded = [0; NAME_BYTES];
            for (to, from) in padded[..NAME_BYTES - 1].iter_mut().zip(name.bytes()) {
                *to = from;
            }
            directory.extend(padded);
        }
        directory
    }

    /// An item's content; nothing if there is none of this number.
    pub(super) fn get(&self, key: u16) -> &[u8] {
        if key == key::FILE_DIR {
            return &self.directory;
        }
        let file = key.checked_sub(key::FILE_FIRST);
        if let Some((_, content)) = file.and_then(|at| self.files.get(usize::from(at))) {
            return content;
        }
        let at = self.numbered.binary_search_by_key(&key, |(key, _)| *key);
        at.ok()
            .and_then(|at| self.numbered.get(at))
            .map_or(&[], |(_, content)| content)
    }
}
