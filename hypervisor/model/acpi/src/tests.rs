//! Tables are found by their pointers, add up to zero, and say what the wiring says.

use crate::*;
use alloc::string::ToString;

fn plan(vcpus: u32) -> AcpiPlan {
    let range =
        |start, len_bytes| GpaRange::new(Gpa::new(start), len_bytes).expect("does not wrap");
    AcpiPlan {
        vcpus,
        tables: range(0xe_0000, 0x2_0000),
        ecam: range(0xb000_0000, 0x1000_0000),
        pci_window: range(0xc000_0000, 0x3ec0_0000),
        has_keyboard_controller: true,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// The table at an address, checked.
fn table(tables: &Tables, at: u64) -> &[u8] {
    let start = (at - tables.at.raw()) as usize;
    let bytes = &tables.bytes[start..];
    let bytes = &bytes[..u32_at(bytes, 4) as usize];
    assert!(sums_to_zero(bytes), "{:?}", &bytes[..4]);
    bytes
}

/// The table with a signature, found as a guest finds it.
fn find<'a>(tables: &'a Tables, signature: &[u8]) -> &'a [u8] {
    let rsdp = &tables.bytes[..36];
    assert_eq!(&rsdp[..8], b"RSD PTR ");
    assert!(sums_to_zero(rsdp) && sums_to_zero(&rsdp[..20]));
    let xsdt = table(tables, u64_at(rsdp, 24));
    assert_eq!(&xsdt[..4], b"XSDT");
    xsdt[36..]
        .chunks(8)
        .map(|pointer| table(tables, u64_at(pointer, 0)))
        .find(|table| table.starts_with(signature))
        .expect("the table is listed")
}

#[test]
fn every_table_is_found_and_sums_to_zero() {
    let tables = build(&plan(2)).expect("fits");
    for signature in [b"FACP", b"APIC", b"HPET", b"MCFG"] {
        find(&tables, signature);
    }
    let fadt = find(&tables, b"FACP");
    let dsdt = table(&tables, u32_at(fadt, 40).into());
    assert_eq!(&dsdt[..4], b"DSDT");
    assert_eq!(u64_at(fadt, 140), u32_at(fadt, 40).into());
    let facs = (u64::from(u32_at(fadt, 36)) - tables.at.raw()) as usize;
    assert_eq!(&tables.bytes[facs..facs + 4], b"FACS");
    assert_eq!(facs % 64, 0);
}

#[test]
fn the_fadt_says_where_the_registers_are() {
    let tables = build(&plan(1)).expect("fits");
    let fadt = find(&tables, b"FACP");
    assert_eq!(fadt.len(), 276);
    assert_eq!(u32_at(fadt, 76), 0x608);
    assert_eq!(fadt[116..128], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fadt[148..160], [1, 32, 0, 2, 0, 6, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fadt[220..232], [1, 32, 0, 1, 0x20, 6, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn every_vcpu_has_its_local_apic() {
    let count = |tables: &Tables, kind: u8| {
        let mut entries = &find(tables, b"APIC")[44..];
        let mut found = 0;
        while let [this, len, ..] = entries {
            found += usize::from(*this == kind);
            entries = &entries[usize::from(*len)..];
        }
        found
    };
    let tables = build(&plan(3)).expect("fits");
    assert_eq!(
        [0, 1, 2, 4, 9].map(|kind| count(&tables, kind)),
        [3, 1, 2, 1, 0]
    );
    let tables = build(&plan(300)).expect("fits");
    assert_eq!([0, 9, 10].map(|kind| count(&tables, kind)), [255, 45, 1]);
}

/// The bytes of the DSDT.
fn dsdt(plan: &AcpiPlan) -> Vec<u8> {
    let tables = build(plan).expect("fits");
    let at = u32_at(find(&tables, b"FACP"), 40);
    table(&tables, at.into()).to_vec()
}

/// The body of the device with this name, found as its length says.
fn device<'a>(dsdt: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let op = |at: usize| dsdt[at..].starts_with(&[0x5b, 0x82]);
    let ops = (0..dsdt.len()).filter(|at| op(*at));
    let bodies = ops.map(|at| {
        // PkgLength: bits 7:6 of the first byte say how many follow. (ACPI 6.5 20.2.4)
        let package = &dsdt[at + 2..];
        let more = usize::from(package[0] >> 6);
        let low = usize::from(package[0]) & if more == 0 { 0x3f } else { 0xf };
        let len = (0..more).fold(low, |len, byte| {
            len | usize::from(package[byte + 1]) << (4 + 8 * byte)
        });
        &package[more + 1..len]
    });
    let mut named = bodies.filter_map(|body| body.strip_prefix(name));
    named.next()
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The compressed name PNPxxxx. (ACPI 6.5 6.1.5)
fn pnp(product: u16) -> Vec<u8> {
    let [high, low] = product.to_be_bytes();
    [b"_HID\x0c\x41\xd0".as_slice(), &[high, low]].concat()
}

#[test]
fn keyboard_and_mouse_are_there_together() {
    // I/O decodes 16 bits: first, last, alignment, length; the IRQ is a mask.
    const PORT_60: [u8; 8] = [0x47, 1, 0x60, 0, 0x60, 0, 1, 1];
    const IRQ_1: [u8; 3] = [0x22, 0x02, 0x00];
    const IRQ_12: [u8; 3] = [0x22, 0x00, 0x10];
    let dsdt_with = dsdt(&plan(1));
    let keyboard = device(&dsdt_with, b"KBD_").expect("a keyboard");
    assert!(has(keyboard, &pnp(0x0303)) && has(keyboard, &PORT_60) && has(keyboard, &IRQ_1));
    assert!(!has(keyboard, &IRQ_12));
    let mouse = device(&dsdt_with, b"MOU_").expect("a mouse");
    assert!(has(mouse, &pnp(0x0f13)) && has(mouse, &IRQ_12));
    assert!(!has(mouse, &PORT_60));

    let without = dsdt(&AcpiPlan {
        has_keyboard_controller: false,
        ..plan(1)
    });
    assert_eq!(device(&without, b"KBD_"), None);
    assert_eq!(device(&without, b"MOU_"), None);
    assert!(device(&without, b"COM1").is_some());
}

#[test]
fn a_driver_finds_pvpanic() {
    let dsdt = dsdt(&plan(1));
    let pvpanic = device(&dsdt, b"PEVT").expect("a device");
    assert!(has(pvpanic, b"_HID\x0dQEMU0001\0"));
    assert!(has(pvpanic, b"_STA\x0a\x0f"));
    assert!(has(pvpanic, &[0x47, 1, 0x05, 0x05, 0x05, 0x05, 1, 1]));
    // OperationRegion (PEOR, SystemIO, 0x505, 1), and the methods with no and one argument.
    assert!(has(pvpanic, b"\x5b\x80PEOR\x01\x0b\x05\x05\x01"));
    assert!(has(pvpanic, b"RDPT\0\xa4PEPT"));
    assert!(has(pvpanic, b"WRPT\x01\x70\x68PEPT"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let error = build(&plan(4096)).expect_err("too many");
    assert!(error.to_string().contains("use fewer vCPUs"), "{error}");
    assert_eq!(
        build(&plan(4097)),
        Err(TablesError::TooManyVcpus {
            wanted: 4097,
            most: 4096
        })
    );
    let high = GpaRange::new(Gpa::new(4 << 30), 0x1000).expect("does not wrap");
    assert_eq!(
        build(&AcpiPlan {
            ecam: high,
            ..plan(1)
        }),
        Err(TablesError::Above4Gib(high))
    );
}

/// Leaves the tables for a disassembler: `iasl -d` on them is how the AML is judged by other eyes.
#[test]
#[ignore = "writes files; run by hand with TABLES_DIR set"]
fn write_tables_for_iasl() {
    extern crate std;
    let Ok(dir) = std::env::var("TABLES_DIR") else {
        return;
    };
    let tables = build(&plan(2)).expect("fits");
    let fadt = find(&tables, b"FACP");
    std::fs::write(
        alloc::format!("{dir}/dsdt.dat"),
        table(&tables, u32_at(fadt, 40).into()),
    )
    .expect("written");
    for name in ["FACP", "APIC", "HPET", "MCFG"] {
        std::fs::write(
            alloc::format!("{dir}/{name}.dat"),
            find(&tables, name.as_bytes()),
        )
        .expect("written");
    }
}
