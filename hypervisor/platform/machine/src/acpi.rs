//! ACPI tables: the few facts the hypervisor needs, read from bytes, checked. (ACPI 6.5 chapter 5)
//!
//! Only static tables. Of AML one thing is wanted, the `_S5_` package, and it is found by its name.

extern crate alloc;

use alloc::vec::Vec;

/// Gives the bytes at a physical address, or `None` where no RAM is.
pub(crate) trait Physical {
    fn bytes(&self, start: u64, len: usize) -> Option<&[u8]>;
}

/// A register in I/O space or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Register {
    Port(u16),
    Memory(u64),
}

/// Facts from the ACPI tables; empty on a machine without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Local APIC ids of CPUs that may be started.
    pub(crate) apic_ids: Vec<u32>,
    /// Addresses of the IOAPICs.
    pub(crate) ioapics: Vec<u64>,
    /// Address of the HPET.
    pub(crate) hpet: Option<u64>,
    /// The power-management timer.
    pub(crate) pm_timer: Option<Register>,
    /// PM1a and PM1b control ports.
    pub(crate) pm1_control: [Option<u16>; 2],
    /// SLP_TYP values of S5 for the two.
    pub(crate) s5: Option<[u8; 2]>,
    /// Port and value that switch ACPI mode on.
    pub(crate) enable: Option<(u16, u8)>,
    /// Register and value of a reset.
    pub(crate) reset: Option<(Register, u8)>,
    /// CMOS index of the century.
    pub(crate) century_index: Option<u8>,
}

/// Reads everything, starting at the root pointer. What is damaged or absent is left out.
pub(crate) fn read(memory: &impl Physical, rsdp: u64) -> Facts {
    let mut facts = Facts::default();
    for table in tables(memory, rsdp).unwrap_or_default() {
        match table.get(..4) {
            Some(b"APIC") => read_madt(table, &mut facts),
            Some(b"FACP") => read_fadt(memory, table, &mut facts),
            // Base address: a generic address at 40, its address at 44.
            Some(b"HPET") => facts.hpet = u64_at(table, 44).filter(|&address| address != 0),
            _ => {}
        }
    }
    facts
}

fn tables(memory: &impl Physical, rsdp: u64) -> Option<Vec<&[u8]>> {
    let pointer = memory
        .bytes(rsdp, 20)
        .filter(|bytes| bytes.starts_with(b"RSD PTR ") && sums_to_zero(bytes))?;
    let extended = memory
        .bytes(rsdp, 36)
        .filter(|bytes| bytes[15] >= 2 && sums_to_zero(bytes));
    let xsdt = extended
        .and_then(|bytes| u64_at(bytes, 24))
        .filter(|&address| address != 0);
    let (root, entry_bytes) = match xsdt.and_then(|address| table_at(memory, address)) {
        Some(table) => (table, 8),
        None => (table_at(memory, u64::from(u32_at(pointer, 16)?))?, 4),
    };
    let entries = root.get(36..)?.chunks_exact(entry_bytes);
    let addresses = entries.map(|entry| {
        entry
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    });
    Some(
        addresses
            .filter_map(|address| table_at(memory, address))
            .collect(),
    )
}

/// A whole table with a right checksum.
fn table_at(memory: &impl Physical, address: u64) -> Option<&[u8]> {
    const LIMIT: usize = 1 << 20;
    let len = u32_at(memory.bytes(address, 36)?, 4)? as usize;
    if !(36..=LIMIT).contains(&len) {
        return None;
    }
    memory
        .bytes(address, len)
        .filter(|bytes| sums_to_zero(bytes))
}

/// (ACPI 6.5 section 5.2.12)
fn read_madt(table: &[u8], facts: &mut Facts) {
    const USABLE: u32 = 1;
    let mut rest = table.get(44..).unwrap_or_default();
    while let [kind, len, ..] = *rest {
        let Some(entry) = rest.get(..usize::from(len)).filter(|_| len >= 2) else {
            return;
        };
        let apic = match kind {
            0 => entry.get(3).map(|&id| u32::from(id)).zip(u32_at(entry, 4)),
            9 => u32_at(entry, 4).zip(u32_at(entry, 8)),
            _ => None,
        };
        if let Some((id, flags)) = apic
            && flags & USABLE != 0
            && !facts.apic_ids.contains(&id)
        {
            facts.apic_ids.push(id);
        }
        if kind == 1 {
            facts.ioapics.extend(u32_at(entry, 4).map(u64::from));
        }
        rest = rest.get(usize::from(len)..).unwrap_or_default();
    }
}

/// (ACPI 6.5 section 5.2.9)
fn read_fadt(memory: &impl Physical, table: &[u8], facts: &mut Facts) {
    const RESET_SUPPORTED: u32 = 1 << 10;
    let port = |at: usize| {
        u32_at(table, at)
            .and_then(|port| u16::try_from(port).ok())
            .filter(|&port| port != 0)
    };
    facts.pm1_control = [port(64), port(68)];
    facts.pm_timer = port(76)
        .map(Register::Port)
        .or_else(|| generic_address(table, 208));
    facts.enable = port(48)
        .zip(table.get(52).copied())
        .filter(|&(_, value)| value != 0);
    facts.century_index = table.get(108).copied().filter(|&index| index != 0);
    if u32_at(table, 112).is_some_and(|flags| flags & RESET_SUPPORTED != 0) {
        facts.reset = generic_address(table, 116).zip(table.get(128).copied());
    }
    let dsdt = u64_at(table, 140)
        .filter(|&address| address != 0)
        .or_else(|| u32_at(table, 40).map(u64::from));
    facts.s5 = dsdt
        .and_then(|address| table_at(memory, address))
        .and_then(find_s5);
}

/// (ACPI 6.5 section 5.2.3.2)
fn generic_address(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4).filter(|&address| address != 0)?;
    match table.get(at)? {
        0 => Some(Register::Memory(address)),
        1 => u16::try_from(address).ok().map(Register::Port),
        _ => None,
    }
}

/// Finds `Name (_S5_, Package () { a, b, … })` in AML and returns a and b. (ACPI 6.5 sections 7.4.2 and 20.2.5.1)
fn find_s5(aml: &[u8]) -> Option<[u8; 2]> {
    const PACKAGE: u8 = 0x12;
    let at = aml.windows(5).position(|bytes| bytes == b"_S5_\x12")?;
    let package = aml.get(at + 4..)?;
    debug_assert_eq!(package.first(), Some(&PACKAGE));
    // The package length takes one byte more for each count in the top two bits of its first; then comes the
    // number of elements.
    let lead = usize::from(package.get(1)? >> 6);
    let mut elements = package.get(1 + lead + 1 + 1..)?;
    let mut next = || {
        let (value, len) = match *elements {
            [0x0a, value, ..] => (value, 2),
            [value @ (0 | 1), ..] => (value, 1),
            _ => return None,
        };
        elements = elements.get(len..)?;
        Some(value)
    };
    let first = next()?;
    Some([first, next().unwrap_or(first)])
}

fn sums_to_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)) == 0
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Memory from physical 0x1000 on.
    struct Fake(Vec<u8>);

    impl Physical for Fake {
        fn bytes(&self, start: u64, len: usize) -> Option<&[u8]> {
            let start = usize::try_from(start).ok()?.checked_sub(0x1000)?;
            self.0.get(start..start.checked_add(len)?)
        }
    }

    fn seal(table: &mut [u8], sum_at: usize) {
        table[sum_at] = 0;
        table[sum_at] = table.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    }

    fn table(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut table = vec![0; 36];
        table[..4].copy_from_slice(name);
        table.extend_from_slice(body);
        let len = table.len() as u32;
        table[4..8].copy_from_slice(&len.to_le_bytes());
        seal(&mut table, 9);
        table
    }

    fn machine(tables: &[Vec<u8>]) -> Fake {
        let mut memory = vec![0; 0x100];
        let mut pointers = Vec::new();
        for table in tables {
            pointers.extend_from_slice(&(0x1000 + memory.len() as u64).to_le_bytes());
            memory.extend_from_slice(table);
        }
        let xsdt = 0x1000 + memory.len() as u64;
        memory.extend_from_slice(&self::table(b"XSDT", &pointers));
        memory[..8].copy_from_slice(b"RSD PTR ");
        memory[15] = 2;
        memory[24..32].copy_from_slice(&xsdt.to_le_bytes());
        seal(&mut memory[..20], 8);
        seal(&mut memory[..36], 32);
        Fake(memory)
    }

    #[test]
    fn madt_lists_enabled_cpus_and_ioapics() {
        let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
        body.extend_from_slice(&[0, 8, 0, 3, 1, 0, 0, 0]);
        body.extend_from_slice(&[0, 8, 1, 4, 0, 0, 0, 0]);
        body.extend_from_slice(&[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
        body.extend_from_slice(&[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        body.extend_from_slice(&[0, 0]);
        let facts = read(&machine(&[table(b"APIC", &body)]), 0x1000);
        assert_eq!(facts.apic_ids, [3, 0x100]);
        assert_eq!(facts.ioapics, [0xfec0_0000]);
    }

    #[test]
    fn s5_is_found_in_both_spellings() {
        assert_eq!(
            find_s5(b"x_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00"),
            Some([5, 6])
        );
        assert_eq!(find_s5(b"_S5_\x12\x06\x04\x00\x00\x00\x00"), Some([0, 0]));
        assert_eq!(find_s5(b"_S5_\x12\x46\x00\x04\x01\x0a\x07"), Some([1, 7]));
        assert_eq!(find_s5(b"_S4_\x12\x06\x04\x00\x00"), None);
        assert_eq!(find_s5(b"_S5_\x12"), None);
    }

    #[test]
    fn fadt_names_reset_and_power_registers() {
        let mut fadt = vec![0; 276 - 36];
        fadt[64 - 36..66 - 36].copy_from_slice(&[0x04, 0x06]);
        fadt[76 - 36..78 - 36].copy_from_slice(&[0x08, 0x06]);
        fadt[113 - 36] = 4;
        fadt[116 - 36] = 1;
        fadt[120 - 36..122 - 36].copy_from_slice(&[0xf9, 0x0c]);
        fadt[128 - 36] = 0x0f;
        let facts = read(&machine(&[table(b"FACP", &fadt)]), 0x1000);
        assert_eq!(facts.pm1_control, [Some(0x604), None]);
        assert_eq!(facts.pm_timer, Some(Register::Port(0x608)));
        assert_eq!(facts.reset, Some((Register::Port(0xcf9), 0x0f)));
    }

    #[test]
    fn a_wrong_checksum_hides_a_table_and_no_rsdp_is_no_facts() {
        let mut bad = table(b"HPET", &[0; 20]);
        bad[40] ^= 1;
        assert_eq!(read(&machine(&[bad]), 0x1000), Facts::default());
        assert_eq!(read(&Fake(vec![0; 64]), 0x1000), Facts::default());
        assert_eq!(read(&Fake(Vec::new()), 0), Facts::default());
    }
}
