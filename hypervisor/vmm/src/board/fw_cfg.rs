//! What fw_cfg tells of a VM: CPUs, memory, and the files it starts from, for kernels that fetch them by themselves.

use crate::vm::kernel::Image;
use alloc::vec::Vec;
use chipset::fw_cfg::{Items, key};
use guest_boot::MemoryLayout;
use vm_spec::VmSpec;

/// Where QEMU's own loader of Linux kernels puts their parts. (QEMU, hw/i386/x86.c)
const SETUP_AT: u32 = 0x1_0000;
const CMDLINE_AT: u32 = 0x2_0000;
const KERNEL_AT: u32 = 0x10_0000;
/// What a kernel that names no limit takes as an initial RAM disk's last byte. (Linux boot protocol, initrd_addr_max)
const INITRD_MAX: u32 = 0x37ff_ffff;
const PAGE_BYTES: u32 = 0x1000;

/// Fields of the setup header. (Linux boot protocol, "Details of Header Fields")
const SETUP_SECTS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const TYPE_OF_LOADER: usize = 0x210;
const LOAD_FLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const HEAP_END: usize = 0x224;
const CMD_LINE_PTR: usize = 0x228;
const INITRD_ADDR_MAX: usize = 0x22c;
const HEADER_END: usize = 0x230;
const SECTOR_BYTES: usize = 512;
/// The first version whose command line is named by an address.
const VERSION_CMD_LINE_PTR: u16 = 0x202;
/// The first version that says how high the initial RAM disk may lie.
const VERSION_INITRD_MAX: u16 = 0x203;
/// Loaded at 1 MiB.
const LOADED_HIGH: u8 = 1 << 0;
/// There is a heap; its end is named.
const CAN_USE_HEAP: u8 = 1 << 7;
/// The number of QEMU's loader, whose place this is.
const LOADER_QEMU: u8 = 0xb0;
/// The real-mode part's heap ends where the command line begins, less 512 bytes.
const HEAP_END_VALUE: u16 = (CMDLINE_AT - SETUP_AT - 0x200) as u16;

/// Length of an entry of `etc/e820`: start, length, kind.
const E820_ENTRY_BYTES: usize = 20;

/// All of it.
pub(crate) fn items(spec: &VmSpec, layout: &MemoryLayout, image: &Image) -> Items {
    let mut cmdline = Vec::from(spec.cmdline.as_bytes());
    cmdline.push(0);
    let cpus = spec.cpus as u16;
    let initrd = image.initrd.unwrap_or_default();
    let kernel = Kernel::of(image, layout);
    Items::new()
        .bytes(key::UUID, [0; 16].as_slice())
        .u64(key::RAM_SIZE, spec.memory_bytes)
        .u16(key::NO_GRAPHIC, 0)
        .u16(key::NB_CPUS, cpus)
        .u16(key::MAX_CPUS, cpus)
        .u16(key::BOOT_DEVICE, 0)
        .u16(key::BOOT_MENU, 0)
        // No nodes, and the node of each CPU, which is none.
        .bytes(key::NUMA, alloc::vec![0; 8 * (1 + usize::from(cpus))])
        .u32(key::KERNEL_ADDR, kernel.at)
        .u32(key::KERNEL_ENTRY, kernel.at)
        .u32(key::KERNEL_SIZE, kernel.bytes.len() as u32)
        .bytes(key::KERNEL_DATA, kernel.bytes)
        .u32(
            key::SETUP_ADDR,
            if kernel.setup.is_empty() { 0 } else { SETUP_AT },
        )
        .u32(key::SETUP_SIZE, kernel.setup.len() as u32)
        .bytes(key::SETUP_DATA, kernel.setup)
        .u32(key::INITRD_ADDR, kernel.initrd_at)
        .u32(key::INITRD_SIZE, initrd.len() as u32)
        .bytes(key::INITRD_DATA, initrd)
        .u32(key::CMDLINE_ADDR, CMDLINE_AT)
        .u32(key::CMDLINE_SIZE, cmdline.len() as u32)
        .bytes(key::CMDLINE_DATA, cmdline)
        .file("bootorder", b"".as_slice())
        .file("etc/e820", e820(layout))
}

fn e820(layout: &MemoryLayout) -> Vec<u8> {
    let map = layout.map();
    let mut bytes = Vec::with_capacity(map.len() * E820_ENTRY_BYTES);
    for region in map {
        bytes.extend(region.range.start().raw().to_le_bytes());
        bytes.extend(region.range.len_bytes().to_le_bytes());
        bytes.extend((region.kind as u32).to_le_bytes());
    }
    bytes
}

/// The kernel as fw_cfg hands it out: a Linux kernel in its two parts, anything else whole and without a place.
struct Kernel {
    at: u32,
    bytes: &'static [u8],
    setup: Vec<u8>,
    initrd_at: u32,
}

impl Kernel {
    fn of(image: &Image, layout: &MemoryLayout) -> Self {
        Self::linux(image, layout).unwrap_or(Self {
            at: 0,
            bytes: image.kernel,
            setup: Vec::new(),
            initrd_at: 0,
        })
    }

    fn linux(image: &Image, layout: &MemoryLayout) -> Option<Self> {
        let header = image.kernel.get(..HEADER_END)?;
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let version = word(VERSION);
        let is_linux = header[MAGIC..].starts_with(b"HdrS")
            && version >= VERSION_CMD_LINE_PTR
            && header[LOAD_FLAGS] & LOADED_HIGH != 0;
        if !is_linux {
            return None;
        }
        let sectors = match header[SETUP_SECTS] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let (setup, bytes) = image
            .kernel
            .split_at_checked((sectors + 1) * SECTOR_BYTES)?;
        let initrd_max = if version >= VERSION_INITRD_MAX {
            let max = header[INITRD_ADDR_MAX..].first_chunk()?;
            u32::from_le_bytes(*max)
        } else {
            INITRD_MAX
        };
        let initrd = image.initrd.unwrap_or_default();
        // The highest whole page below both limits.
        let end = u64::from(initrd_max).min(layout.below_hole_end().raw() - 1) as u32;
        let initrd_at = match initrd.len() as u32 {
            0 => 0,
            len => end.saturating_sub(len) & !(PAGE_BYTES - 1),
        };
        let mut setup = setup.to_vec();
        let mut put = |at: usize, bytes: &[u8]| setup[at..at + bytes.len()].copy_from_slice(bytes);
        put(TYPE_OF_LOADER, &[LOADER_QEMU]);
        put(LOAD_FLAGS, &[header[LOAD_FLAGS] | CAN_USE_HEAP]);
        put(HEAP_END, &HEAP_END_VALUE.to_le_bytes());
        put(CMD_LINE_PTR, &CMDLINE_AT.to_le_bytes());
        put(RAMDISK_IMAGE, &initrd_at.to_le_bytes());
        put(RAMDISK_SIZE, &(initrd.len() as u32).to_le_bytes());
        Some(Self {
            at: KERNEL_AT,
            bytes,
            setup,
            initrd_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chipset::FwCfg;
    use chipset::fw_cfg::{DATA_PORT, SELECTOR_PORT};
    use device::{PioDevice, Width};

    const INITRD: &[u8] = &[7; 5000];

    /// A bzImage of two sectors of setup code and 100 bytes of kernel.
    fn bzimage() -> Vec<u8> {
        let mut file = alloc::vec![0x90; 3 * SECTOR_BYTES + 100];
        file[SETUP_SECTS] = 2;
        file[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        file[VERSION..VERSION + 2].copy_from_slice(&0x20fu16.to_le_bytes());
        file[LOAD_FLAGS] = 1;
        file[INITRD_ADDR_MAX..HEADER_END].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        file
    }

    fn device(kernel: Vec<u8>) -> FwCfg {
        let mut spec = VmSpec::new("a", "k");
        (spec.cpus, spec.memory_bytes) = (3, 64 << 20);
        spec.cmdline = "quiet".into();
        let image = Image {
            kernel: kernel.leak(),
            initrd: Some(INITRD),
            modules: Vec::new(),
        };
        FwCfg::new(items(&spec, &MemoryLayout::new(64 << 20), &image))
    }

    fn bytes(fw: &mut FwCfg, key: u16, count: usize) -> Vec<u8> {
        fw.write(SELECTOR_PORT, Width::Word, key.into())
            .expect("selector");
        let mut next = || fw.read(DATA_PORT, Width::Byte).expect("data") as u8;
        (0..count).map(|_| next()).collect()
    }

    fn number(fw: &mut FwCfg, key: u16) -> u32 {
        u32::from_le_bytes(bytes(fw, key, 4).try_into().expect("four"))
    }

    #[test]
    fn a_linux_kernel_comes_in_two_parts_with_its_header_filled_in() {
        let mut fw = device(bzimage());
        assert_eq!(number(&mut fw, key::KERNEL_SIZE), 100);
        assert_eq!(number(&mut fw, key::KERNEL_ADDR), 0x10_0000);
        assert_eq!(number(&mut fw, key::SETUP_SIZE), 1536);
        let setup = bytes(&mut fw, key::SETUP_DATA, 1536);
        assert_eq!(setup[TYPE_OF_LOADER..LOAD_FLAGS + 1], [0xb0, 0x81]);
        assert_eq!(setup[CMD_LINE_PTR..CMD_LINE_PTR + 4], [0, 0, 2, 0]);
        // 64 MiB less 5000 bytes, at a page.
        let at = number(&mut fw, key::INITRD_ADDR);
        assert_eq!(at, (64 << 20) - 0x2000);
        assert_eq!(setup[RAMDISK_IMAGE..RAMDISK_IMAGE + 4], at.to_le_bytes());
        assert_eq!(number(&mut fw, key::INITRD_SIZE), 5000);
        assert_eq!(bytes(&mut fw, key::CMDLINE_DATA, 6), b"quiet\0");
        assert_eq!(bytes(&mut fw, key::NB_CPUS, 2), [3, 0]);
    }

    #[test]
    fn anything_else_is_handed_out_whole() {
        for kernel in [Vec::new(), alloc::vec![1; 300], alloc::vec![2; 5000]] {
            let len = kernel.len() as u32;
            let mut fw = device(kernel);
            assert_eq!(number(&mut fw, key::KERNEL_SIZE), len);
            assert_eq!(number(&mut fw, key::SETUP_SIZE), 0);
        }
        let mut cut = bzimage();
        cut.truncate(700);
        assert_eq!(number(&mut device(cut), key::KERNEL_SIZE), 700);
    }

    #[test]
    fn the_memory_map_is_the_loaders() {
        let map = e820(&MemoryLayout::new(64 << 20));
        assert_eq!(map.len() % E820_ENTRY_BYTES, 0);
        // From 0 to 0x9fc00, usable.
        let first = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfc, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        ];
        assert_eq!(map[..E820_ENTRY_BYTES], first);
    }
}
