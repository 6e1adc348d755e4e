//! fw_cfg: tells a guest of CPUs, memory, and the files it starts from. (QEMU, docs/specs/fw_cfg)

use crate::board::BoardConfig;
use crate::bus::Overlap;
use crate::maker::Maker;
use crate::slot::Harness;
use alloc::sync::Arc;
use alloc::vec::Vec;
use chipset::FwCfg;
use chipset::fw_cfg::{DESCRIPTOR_BYTES, Items, PieceContent, key};
use guest_boot::MemoryLayout;
use guest_boot::fw_cfg::{CMDLINE_AT, FwCfgKernel, SETUP_AT};
use guest_memory::GuestMemory;
use pc_map::ports;
use vm_spec::VmSpec;

/// Length of an entry of `etc/e820`: start, length, kind.
const E820_ENTRY_BYTES: usize = 20;

/// Copies to guest memory.
struct FwCfgHarness<R> {
    ram: Arc<R>,
}

impl<R: GuestMemory> Harness<FwCfg> for FwCfgHarness<R> {
    fn after(&self, fw_cfg: &mut FwCfg) {
        if let Some(at) = fw_cfg.descriptor() {
            let mut bytes = [0; DESCRIPTOR_BYTES];
            let is_read = self.ram.read(at, &mut bytes).is_ok();
            fw_cfg.begin(is_read.then_some(bytes));
        }
        // At most the end of an item and the zeros behind it; the device says when the next piece
        // is due.
        while let Some(piece) = fw_cfg.piece() {
            let written = match piece.content {
                PieceContent::Bytes(bytes) => self.ram.write(piece.at, bytes),
                PieceContent::Zeros(len_bytes) => self.ram.fill(piece.at, len_bytes, 0),
            };
            fw_cfg.moved(written.is_ok());
        }
        if let Some((at, control)) = fw_cfg.take_result() {
            // Where a descriptor was read, memory is. A guest cannot take it away.
            let _ = self.ram.write(at, &control);
        }
    }
}

/// Puts fw_cfg on the board.
pub(crate) fn install<R: GuestMemory + 'static>(
    pc: &mut Maker,
    config: &BoardConfig<'_, R>,
) -> Result<(), Overlap> {
    let harness = FwCfgHarness {
        ram: config.ram.clone(),
    };
    let items = items(config.spec, config.layout, config.kernel, config.initrd);
    let fw_cfg = pc.slot("fw_cfg", FwCfg::new(items), harness);
    pc.ports(ports::FW_CFG, 0, fw_cfg)
}

/// Returns all it tells.
fn items(
    spec: &VmSpec,
    layout: &MemoryLayout,
    kernel: &'static [u8],
    initrd: Option<&'static [u8]>,
) -> Items {
    let mut cmdline = Vec::from(spec.cmdline.as_bytes());
    cmdline.push(0);
    let cpus = spec.cpus as u16;
    let initrd = initrd.unwrap_or_default();
    let kernel = FwCfgKernel::new(kernel, initrd.len() as u32, layout);
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

#[cfg(test)]
mod tests {
    use super::*;
    use chipset::FwCfg;
    use chipset::fw_cfg::{DATA_PORT, SELECTOR_PORT};
    use device::{PioDevice, Width};

    const INITRD: &[u8] = &[7; 5000];
    /// The start of the fields of a setup header that are looked at here.
    const TYPE_OF_LOADER: usize = 0x210;
    const RAMDISK_IMAGE: usize = 0x218;
    const CMD_LINE_PTR: usize = 0x228;

    /// A bzImage of two sectors of setup code and 100 bytes of kernel.
    fn bzimage() -> Vec<u8> {
        let mut file = alloc::vec![0x90; 3 * 512 + 100];
        file[0x1f1] = 2;
        file[0x202..0x206].copy_from_slice(b"HdrS");
        file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        file[0x211] = 1;
        file[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        file
    }

    fn device(kernel: Vec<u8>) -> FwCfg {
        let mut spec = VmSpec::new("a", "k");
        (spec.cpus, spec.memory_bytes) = (3, 64 << 20);
        spec.cmdline = "quiet".into();
        let layout = MemoryLayout::new(64 << 20);
        FwCfg::new(items(&spec, &layout, kernel.leak(), Some(INITRD)))
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
        assert_eq!(setup[TYPE_OF_LOADER..TYPE_OF_LOADER + 2], [0xb0, 0x81]);
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
