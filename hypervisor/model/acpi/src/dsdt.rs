//! The DSDT: devices that cannot be probed, the root of PCI, and how to power off.

use crate::resource::{IsaIrq, Raw};
use crate::{AcpiPlan, wiring};
use acpi_tables::Aml;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Arg, Device, EISAName, Field, FieldAccessType, FieldEntry,
    FieldLockRule, FieldUpdateRule, IO, Memory32Fixed, Method, Name, OpRegion, OpRegionSpace,
    Package, PackageBuilder, Path, ResourceTemplate, Return, Scope, Store,
};
use addr::GpaRange;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use pc_map::{lines, ports};

/// The whole definition block, without the table header.
pub(crate) fn body(plan: &AcpiPlan) -> Vec<u8> {
    let mut aml = Vec::new();
    let sleep_type = wiring::SLEEP_TYPE_S5;
    Name::new(
        "\\_S5_".into(),
        &Package::new(vec![&sleep_type, &0u8, &0u8, &0u8]),
    )
    .to_aml_bytes(&mut aml);

    let mut system = Vec::new();
    processors(plan.vcpus, &mut system);
    pci_root(plan, &mut system);
    motherboard(plan, &mut system);
    device(
        "HPET",
        "PNP0103",
        0,
        &[&Memory32Fixed::new(
            false,
            wiring::HPET,
            wiring::HPET_BYTES as u32,
        )],
        &mut system,
    );
    Scope::new("\\_SB_".into(), vec![&Raw(&system)]).to_aml_bytes(&mut aml);
    aml
}

/// So many vCPUs get names of their own.
pub(crate) const MAX_VCPUS: u32 = 0x1000;

/// One processor device per vCPU; its UID is the one in the MADT. (ACPI 6.5 8.4)
fn processors(vcpus: u32, aml: &mut Vec<u8>) {
    for vcpu in 0..vcpus {
        let path = Path::new(&format!("C{vcpu:03X}"));
        let hid = Name::new("_HID".into(), &"ACPI0007");
        let uid = Name::new("_UID".into(), &vcpu);
        Device::new(path, vec![&hid, &uid]).to_aml_bytes(aml);
    }
}

/// The ports of PCI's configuration space, and the reset port that lies among them.
const PCI_CONFIGURATION: RangeInclusive<u16> = *ports::PCI_ADDRESS.start()..=*ports::PCI_DATA.end();

/// The ports of one block.
fn ports_of(block: RangeInclusive<u16>) -> IO {
    // No block has more than 64.
    let count = (block.end() - block.start()) as u8 + 1;
    IO::new(*block.start(), *block.start(), 1, count)
}

/// A device with resources and nothing else.
fn device(path: &str, hid: &str, uid: u8, resources: &[&dyn Aml], aml: &mut Vec<u8>) {
    let hid = Name::new("_HID".into(), &EISAName::new(hid));
    let uid = Name::new("_UID".into(), &uid);
    let crs = Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec()));
    Device::new(path.into(), vec![&hid, &uid, &crs]).to_aml_bytes(aml);
}

fn pci_root(plan: &AcpiPlan, aml: &mut Vec<u8>) {
    let mut isa = Vec::new();
    isa_devices(plan, &mut isa);
    let isa_address = Name::new("_ADR".into(), &0x001f_0000u32);
    let isa = Raw(&isa);
    let isa = Device::new("ISA_".into(), vec![&isa_address, &isa]);

    let (window_first, window_last) = ends(plan.pci_window);
    let resources: [&dyn Aml; 5] = [
        &AddressSpace::new_bus_number(0u16, 255),
        &ports_of(PCI_CONFIGURATION),
        &AddressSpace::new_io(0u16, PCI_CONFIGURATION.start() - 1, None),
        &AddressSpace::new_io(PCI_CONFIGURATION.end() + 1, 0xffff, None),
        &AddressSpace::new_memory(
            AddressSpaceCacheable::NotCacheable,
            true,
            window_first,
            window_last,
            None,
        ),
    ];
    Device::new(
        "PCI0".into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0A08")),
            &Name::new("_CID".into(), &EISAName::new("PNP0A03")),
            &Name::new("_UID".into(), &0u8),
            &Name::new("_SEG".into(), &0u8),
            &Name::new("_BBN".into(), &0u8),
            &Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec())),
            &Name::new("_PRT".into(), &routing()),
            &isa,
        ],
    )
    .to_aml_bytes(aml);
}

/// Which line each pin of each device of bus 0 leads to. (ACPI 6.5 6.2.13)
fn routing() -> PackageBuilder {
    let mut table = PackageBuilder::new();
    for device in 0..32u8 {
        for pin in 0..4u8 {
            let all_functions = u32::from(device) << 16 | 0xffff;
            let gsi = wiring::pci_gsi(device, pin);
            table.add_element(&Package::new(vec![&all_functions, &pin, &0u8, &gsi]));
        }
    }
    table
}

/// Adds the devices behind the LPC bridge.
fn isa_devices(plan: &AcpiPlan, aml: &mut Vec<u8>) {
    device(
        "PIC_",
        "PNP0000",
        0,
        &[
            &ports_of(ports::PIC_MASTER),
            &ports_of(ports::PIC_SLAVE),
            &ports_of(ports::ELCR),
            &IsaIrq(lines::CASCADE_IRQ),
        ],
        aml,
    );
    for (path, hid, uid, ports, irq) in [
        ("PIT_", "PNP0100", 0, ports::PIT, lines::PIT_IRQ),
        ("RTC_", "PNP0B00", 0, ports::RTC, lines::RTC),
        ("COM1", "PNP0501", 1, ports::COM1, lines::COM1),
        ("COM2", "PNP0501", 2, ports::COM2, lines::COM2),
    ] {
        device(path, hid, uid, &[&ports_of(ports), &IsaIrq(irq)], aml);
    }
    if plan.has_keyboard_controller {
        device(
            "KBD_",
            "PNP0303",
            0,
            &[
                &ports_of(ports::KEYBOARD_DATA),
                &ports_of(ports::KEYBOARD_COMMAND),
                &IsaIrq(lines::KEYBOARD),
            ],
            aml,
        );
        // Its ports are the keyboard's.
        device("MOU_", "PNP0F13", 0, &[&IsaIrq(lines::MOUSE)], aml);
    }
    pvpanic(aml);
}

/// pvpanic, with the methods it has in QEMU: RDPT returns the events that are known, WRPT reports one.
/// (QEMU docs/specs/pvpanic.rst, "ACPI Interface")
fn pvpanic(aml: &mut Vec<u8>) {
    /// Present, enabled, shown and functioning. (ACPI 6.5 6.3.7)
    const WORKS: u8 = 0xf;
    let port = *ports::PVPANIC.start();
    let resources: [&dyn Aml; 1] = [&ports_of(ports::PVPANIC)];
    let event = Path::new("PEPT");
    Device::new(
        "PEVT".into(),
        vec![
            &Name::new("_HID".into(), &"QEMU0001"),
            &Name::new("_STA".into(), &WORKS),
            &Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec())),
            &OpRegion::new("PEOR".into(), OpRegionSpace::SystemIO, &port, &1u8),
            &Field::new(
                "PEOR".into(),
                FieldAccessType::Byte,
                FieldLockRule::NoLock,
                FieldUpdateRule::Preserve,
                vec![FieldEntry::Named(*b"PEPT", 8)],
            ),
            &Method::new("RDPT".into(), 0, false, vec![&Return::new(&event)]),
            &Method::new("WRPT".into(), 1, false, vec![&Store::new(&event, &Arg(0))]),
        ],
    )
    .to_aml_bytes(aml);
}

/// Adds the ranges that are taken and belong to no other device: a guest believes MCFG only when
/// its range is reserved here.
fn motherboard(plan: &AcpiPlan, aml: &mut Vec<u8>) {
    let (ecam_first, ecam_last) = ends(plan.ecam);
    device(
        "MBRD",
        "PNP0C02",
        0,
        &[
            &Memory32Fixed::new(true, ecam_first, ecam_last - ecam_first + 1),
            &ports_of(ports::PM),
            &ports_of(ports::NMI_CONTROL),
            &ports_of(ports::FAST_RESET),
        ],
        aml,
    );
}

/// First and last address of a range that [`crate::build`] has found to be neither empty nor above 4 GiB.
fn ends(range: GpaRange) -> (u32, u32) {
    (
        range.start().raw() as u32,
        range.end().raw().wrapping_sub(1) as u32,
    )
}
