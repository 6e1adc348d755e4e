//! Walks over small hand-made tables.

use super::*;
use guest_memory::TestRam;
use x86::{Attributes, Segment};

const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 0x20;
const D: u64 = 0x40;
const PS: u64 = 0x80;
const NX: u64 = 1 << 63;

fn paging(cr4: Cr4, efer: Efer) -> Paging {
    let is_long = efer.contains(Efer::LONG_MODE_ACTIVE);
    Paging {
        cr0: (Cr0::PROTECTED_MODE_ENABLE | Cr0::PAGING | Cr0::WRITE_PROTECT).bits(),
        cr3: 0x1000,
        cr4: cr4.bits(),
        efer: efer.bits(),
        rflags: 2,
        cpl: 0,
        cs: Segment {
            selector: 8,
            attributes: Attributes(if is_long { 0xa9b } else { 0xc9b }),
            limit: u32::MAX,
            base: 0,
        },
        rip: 0,
    }
}

fn long() -> Paging {
    paging(
        Cr4::PHYSICAL_ADDRESS_EXTENSION,
        Efer::LONG_MODE_ENABLE | Efer::LONG_MODE_ACTIVE | Efer::NO_EXECUTE_ENABLE,
    )
}

fn put(ram: &TestRam, at: u64, entry: u64) {
    ram.write(Gpa::new(at), &entry.to_le_bytes()).expect("RAM");
}

fn get(ram: &TestRam, at: u64) -> u64 {
    ram.load_u64(Gpa::new(at)).expect("RAM")
}

/// Four levels at 0x1000 to 0x4000: page 0 at 0x5000 with `leaf` bits.
fn four_levels(leaf: u64) -> TestRam {
    let ram = TestRam::new(0x10000);
    put(&ram, 0x1000, 0x2000 | P | W | U);
    put(&ram, 0x2000, 0x3000 | P | W | U);
    put(&ram, 0x3000, 0x4000 | P | W | U);
    put(&ram, 0x4000, 0x5000 | leaf);
    ram
}

fn code(result: Result<Gpa, WalkFault>) -> u32 {
    match result {
        Err(WalkFault::Fault(fault)) => fault.error_code.expect("has one"),
        other => panic!("no fault but {other:?}"),
    }
}

#[test]
fn a_walk_sets_accessed_and_dirty_as_the_cpu_does() {
    let ram = four_levels(P | W);
    let at = translate(&ram, &long(), Gva::new(0x123), Access::Read, false);
    assert_eq!(at, Ok(Gpa::new(0x5123)));
    assert_eq!(get(&ram, 0x1000), 0x2000 | P | W | U | A);
    assert_eq!(get(&ram, 0x4000), 0x5000 | P | W | A);
    translate(&ram, &long(), Gva::new(0), Access::Write, false).expect("mapped");
    assert_eq!(get(&ram, 0x4000), 0x5000 | P | W | A | D);
    assert_eq!(get(&ram, 0x3000), 0x4000 | P | W | U | A);
}

#[test]
fn faults_carry_the_right_error_code() {
    let ram = four_levels(P);
    let walk =
        |paging: &Paging, access, user| code(translate(&ram, paging, Gva::new(0), access, user));
    assert_eq!(walk(&long(), Access::Write, false), PROTECTION | WRITE);
    assert_eq!(walk(&long(), Access::Read, true), PROTECTION | USER);
    let absent = translate(&ram, &long(), Gva::new(0x1000), Access::Write, true);
    assert_eq!(code(absent), WRITE | USER);
    let no_wp = Paging {
        cr0: long().cr0 & !Cr0::WRITE_PROTECT.bits(),
        ..long()
    };
    let written = translate(&ram, &no_wp, Gva::new(0), Access::Write, false);
    assert_eq!(written, Ok(Gpa::new(0x5000)));

    put(&ram, 0x4000, 0x5000 | P | NX);
    assert_eq!(walk(&long(), Access::Execute, false), PROTECTION | FETCH);
    let no_nx = Paging {
        efer: long().efer & !Efer::NO_EXECUTE_ENABLE.bits(),
        ..long()
    };
    assert_eq!(walk(&no_nx, Access::Read, false), PROTECTION | RESERVED);
}

#[test]
fn smep_and_smap_protect_the_supervisor_from_user_pages() {
    let ram = four_levels(P | W | U);
    let mut paging = long();
    paging.cr4 |=
        (Cr4::SUPERVISOR_MODE_EXECUTION_PROTECTION | Cr4::SUPERVISOR_MODE_ACCESS_PREVENTION).bits();
    let walk = |paging: &Paging, access, user| translate(&ram, paging, Gva::new(0), access, user);
    let fetched = walk(&paging, Access::Execute, false);
    assert_eq!(code(fetched), PROTECTION | FETCH);
    assert_eq!(code(walk(&paging, Access::Read, false)), PROTECTION);
    walk(&paging, Access::Read, true).expect("a user may");
    paging.rflags |= Rflags::ALIGNMENT_CHECK.bits();
    walk(&paging, Access::Read, false).expect("STAC lets it through");
}

#[test]
fn large_pages_and_their_reserved_bits() {
    let ram = four_levels(P);
    put(&ram, 0x3008, 0x40_0000 | P | PS);
    put(&ram, 0x3010, 0x40_2000 | P | PS);
    put(&ram, 0x2008, 0x8000_0000 | P | PS);
    let walk = |gva| translate(&ram, &long(), Gva::new(gva), Access::Read, false);
    assert_eq!(walk(0x21_2345), Ok(Gpa::new(0x41_2345)));
    assert_eq!(walk(0x7234_5678), Ok(Gpa::new(0xb234_5678)));
    assert_eq!(code(walk(0x40_0000)), PROTECTION | RESERVED);
    let not_canonical = translate(&ram, &long(), Gva::new(1 << 47), Access::Read, false);
    assert_eq!(
        not_canonical,
        Err(WalkFault::Fault(Fault::GENERAL_PROTECTION))
    );
}

#[test]
fn two_levels_with_four_byte_entries() {
    let ram = TestRam::new(0x10000);
    let put = |at: u64, entry: u32| ram.write(Gpa::new(at), &entry.to_le_bytes()).expect("RAM");
    put(0x1004, 0x2000 | 7);
    put(0x1008, 0x80_0000 | 0x2000 | 0x87);
    put(0x2004, 0x6000 | 7);
    let paging = paging(Cr4::PAGE_SIZE_EXTENSION, Efer::empty());
    let walk = |gva| translate(&ram, &paging, Gva::new(gva), Access::Write, true);
    assert_eq!(walk(0x40_1abc), Ok(Gpa::new(0x6abc)));
    assert_eq!(get(&ram, 0x2000), 0x0000_6067_0000_0000);
    assert_eq!(walk(0x80_0010), Ok(Gpa::new(0x1_0080_0010)));
    assert_eq!(walk(0xffff_ffff_0040_1abc), Ok(Gpa::new(0x6abc)));
}

#[test]
fn pae_and_five_levels() {
    let ram = four_levels(P | W | U);
    let mut pae = paging(Cr4::PHYSICAL_ADDRESS_EXTENSION, Efer::empty());
    put(&ram, 0x2fe0, 0x3000 | P);
    pae.cr3 = 0x2fe0;
    let at = translate(&ram, &pae, Gva::new(0x10), Access::Write, true);
    assert_eq!(at, Ok(Gpa::new(0x5010)));
    assert_eq!(get(&ram, 0x2fe0), 0x3000 | P, "no accessed flag in a PDPTE");
    put(&ram, 0x2fe0, 0x3000 | P | W);
    let reserved = translate(&ram, &pae, Gva::new(0x10), Access::Read, false);
    assert_eq!(code(reserved), PROTECTION | RESERVED);

    let mut five = long();
    five.cr4 |= Cr4::L5_PAGING.bits();
    put(&ram, 0x6000 + 8, 0x1000 | P | W | U);
    five.cr3 = 0x6000;
    let at = translate(&ram, &five, Gva::new(1 << 48), Access::Read, true);
    assert_eq!(at, Ok(Gpa::new(0x5000)));
}

#[test]
fn code_is_fetched_across_pages() {
    let ram = four_levels(P | W);
    put(&ram, 0x4008, 0x8000 | P);
    ram.fill(Gpa::new(0x5ff0), 16, 0xaa).expect("RAM");
    ram.fill(Gpa::new(0x8000), 16, 0xbb).expect("RAM");
    let mut bytes = [0; 15];
    let mut paging = long();
    paging.rip = 0xffd;
    assert_eq!(fetch(&ram, &paging, &mut bytes), Ok(15));
    assert_eq!(bytes[..4], [0xaa, 0xaa, 0xaa, 0xbb]);
    put(&ram, 0x4008, 0);
    assert_eq!(fetch(&ram, &paging, &mut bytes), Ok(3));
    paging.rip = 0x1000;
    assert!(matches!(
        fetch(&ram, &paging, &mut bytes),
        Err(WalkFault::Fault(_))
    ));
    put(&ram, 0x1000, 0x7fff_f000 | P);
    let table = Gpa::new(0x7fff_f000);
    assert_eq!(
        fetch(&ram, &paging, &mut bytes),
        Err(WalkFault::NotRam(table))
    );
}

#[test]
fn the_short_way_and_the_long_way_agree() {
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut taken = 0;
    let ram = four_levels(P | W);
    for _ in 0..20_000 {
        let flags = |random: u64| {
            let mut flags = P | W | U | A | D;
            // Mostly right, now and then one bit is not.
            if random.is_multiple_of(3) {
                flags ^= 1 << ((random >> 8) % 13);
            }
            if random.is_multiple_of(7) {
                flags |= NX;
            }
            if random.is_multiple_of(5) {
                flags |= PS;
            }
            flags
        };
        put(&ram, 0x1000, 0x2000 | flags(random()) & !PS);
        put(&ram, 0x2000, 0x3000 | flags(random()) & !PS);
        put(&ram, 0x3000, 0x4000 | flags(random()));
        put(&ram, 0x4000, 0x5000 | flags(random()));
        let mut paging = long();
        if random() % 4 == 0 {
            paging.efer &= !Efer::NO_EXECUTE_ENABLE.bits();
        }
        paging.cr4 |= random() & 0x30_0000;
        paging.cr0 ^= random() & 0x1_0000;
        let walk = Walk {
            paging: &paging,
            gva: Gva::new(random() & 0xfff),
            access: [Access::Read, Access::Write, Access::Execute][(random() % 3) as usize],
            is_user: random() % 2 == 0,
        };
        if let Some(at) = walk.glance(&ram) {
            taken += 1;
            let (steps, long_way) = walk.descend(&ram, &geometry(&paging)).expect("no fault");
            assert_eq!(at, long_way);
            let before = [0x1000, 0x2000, 0x3000, 0x4000].map(|at| get(&ram, at));
            assert_eq!(steps.mark(&ram, walk.access == Access::Write), Ok(true));
            let after = [0x1000, 0x2000, 0x3000, 0x4000].map(|at| get(&ram, at));
            assert_eq!(before, after, "nothing was left to mark");
        }
    }
    assert!(taken > 1000, "{taken}");
}
