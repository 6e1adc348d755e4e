//! The tables, one after another, and the pointers between them.

use crate::{AcpiPlan, Tables, TablesError, dsdt, fadt, wiring};
use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::{GenericAddress, Sdt};
use addr::GpaRange;
use alloc::vec::Vec;

const OEM_ID: [u8; 6] = *b"CAISSN";
const OEM_TABLE_ID: [u8; 8] = *b"CAISSON ";
const OEM_REVISION: u32 = 1;
const HEADER_BYTES: u32 = 36;
/// The FACS has to be aligned so; for the others it does no harm.
const TABLE_ALIGN: usize = 64;

/// Builds all tables for one guest.
///
/// # Errors
/// [`TablesError`] when they do not fit their range, or a range of the plan is empty or does not lie below 4 GiB.
pub fn build(plan: &AcpiPlan) -> Result<Tables, TablesError> {
    for range in [plan.tables, plan.ecam, plan.pci_window] {
        if range.is_empty() || range.end().raw() > 1 << 32 {
            return Err(TablesError::Above4Gib(range));
        }
    }
    if plan.vcpus > dsdt::MAX_VCPUS {
        return Err(TablesError::TooManyVcpus {
            wanted: plan.vcpus,
            most: dsdt::MAX_VCPUS,
        });
    }
    let mut block = Block::new(plan.tables);
    // The root pointer comes first and is filled in last.
    block.add(&[0; size_of::<Rsdp>()]);
    let facs = block.add(&aml_bytes(&FACS::new()));
    let dsdt = block.add(dsdt(plan).as_slice());
    let listed = [
        block.add(fadt::table(facs, dsdt, plan.has_keyboard_controller).as_slice()),
        block.add(madt(plan.vcpus).as_slice()),
        block.add(hpet().as_slice()),
        block.add(mcfg(plan.ecam).as_slice()),
    ];
    let xsdt = block.add(xsdt(&listed).as_slice());
    let rsdp = aml_bytes(&Rsdp::new(OEM_ID, u64::from(xsdt)));
    for (to, from) in block.bytes.iter_mut().zip(rsdp) {
        *to = from;
    }

    let (wanted_bytes, room_bytes) = (block.bytes.len() as u64, plan.tables.len_bytes());
    if wanted_bytes > room_bytes {
        return Err(TablesError::NoRoom {
            wanted_bytes,
            room_bytes,
        });
    }
    Ok(Tables {
        rsdp: plan.tables.start(),
        at: plan.tables.start(),
        bytes: block.bytes,
    })
}

/// An empty table of `len_bytes` bytes, header included.
pub(crate) fn header(signature: [u8; 4], len_bytes: u32, revision: u8) -> Sdt {
    Sdt::new(
        signature,
        len_bytes,
        revision,
        OEM_ID,
        OEM_TABLE_ID,
        OEM_REVISION,
    )
}

/// Tables in a row.
struct Block {
    start: u32,
    bytes: Vec<u8>,
}

impl Block {
    fn new(range: GpaRange) -> Self {
        Self {
            start: range.start().raw() as u32,
            bytes: Vec::new(),
        }
    }

    /// Appends a table; returns its address. What runs past the range is noticed at the end.
    fn add(&mut self, table: &[u8]) -> u32 {
        let at = self.bytes.len().next_multiple_of(TABLE_ALIGN);
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(table);
        self.start.wrapping_add(at as u32)
    }
}

fn aml_bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn xsdt(tables: &[u32]) -> Sdt {
    let mut xsdt = header(*b"XSDT", HEADER_BYTES, 1);
    for table in tables {
        xsdt.append_slice(&u64::from(*table).to_le_bytes());
    }
    xsdt
}

fn dsdt(plan: &AcpiPlan) -> Sdt {
    // Revision 2: integers have 64 bits.
    let mut dsdt = header(*b"DSDT", HEADER_BYTES, 2);
    dsdt.append_slice(&dsdt::body(plan));
    dsdt
}

/// Processors and interrupt controllers. (ACPI 6.5 5.2.12)
fn madt(vcpus: u32) -> Sdt {
    const ENABLED: u32 = 1;
    const PC_AT_COMPATIBLE: u32 = 1;
    const FIRST_X2APIC_ONLY: u32 = 255;
    const ALL_PROCESSORS: u8 = 0xff;
    const ALL_X2APIC_PROCESSORS: u32 = u32::MAX;
    const LEVEL_ACTIVE_HIGH: u16 = 0b1101;
    const AS_THE_BUS: u16 = 0;

    let mut madt = header(*b"APIC", HEADER_BYTES + 8, 5);
    madt.write_u32(36, wiring::LOCAL_APIC);
    madt.write_u32(40, PC_AT_COMPATIBLE);
    let mut entries = Vec::new();
    for vcpu in 0..vcpus {
        if vcpu < FIRST_X2APIC_ONLY {
            entries.extend([0, 8, vcpu as u8, vcpu as u8]);
            entries.extend(ENABLED.to_le_bytes());
        } else {
            entries.extend([9, 16, 0, 0]);
            entries.extend(
                [vcpu, ENABLED, vcpu]
                    .iter()
                    .flat_map(|field| field.to_le_bytes()),
            );
        }
    }
    entries.extend([1, 12, wiring::IO_APIC_ID, 0]);
    entries.extend(wiring::IO_APIC.to_le_bytes());
    entries.extend(0u32.to_le_bytes());
    for (irq, gsi, flags) in [
        (0, wiring::PIT_GSI, AS_THE_BUS),
        (wiring::SCI_GSI, wiring::SCI_GSI, LEVEL_ACTIVE_HIGH),
    ] {
        entries.extend([2, 10, 0, irq, gsi, 0, 0, 0]);
        entries.extend(flags.to_le_bytes());
    }
    // NMI at LINT1 everywhere.
    entries.extend([4, 6, ALL_PROCESSORS, 0, 0, 1]);
    if vcpus > FIRST_X2APIC_ONLY {
        entries.extend([10, 12, 0, 0]);
        entries.extend(ALL_X2APIC_PROCESSORS.to_le_bytes());
        entries.extend([1, 0, 0, 0]);
    }
    madt.append_slice(&entries);
    madt
}

/// (IA-PC HPET 1.0a 3.2.4)
fn hpet() -> Sdt {
    let mut hpet = header(*b"HPET", HEADER_BYTES + 20, 1);
    hpet.write_u32(36, wiring::HPET_BLOCK_ID);
    hpet.write(
        40,
        GenericAddress {
            access_size: 0,
            ..GenericAddress::mmio_address::<u64>(u64::from(wiring::HPET))
        },
    );
    hpet
}

/// (PCI firmware specification 3.3 4.1.2)
fn mcfg(ecam: GpaRange) -> Sdt {
    let mut mcfg = header(*b"MCFG", HEADER_BYTES + 8 + 16, 1);
    mcfg.write_u64(44, ecam.start().raw());
    mcfg.write_u8(55, 255);
    mcfg
}
