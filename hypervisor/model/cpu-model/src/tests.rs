//! Models of a made-up physical CPU that has everything.

mod msr;

use super::*;
use crate::features::{self as f, Feature, Offer};

const PLAN: CpuPlan = CpuPlan {
    vcpus: 3,
    tsc_khz: 2_111_998,
    apic_timer_khz: 1_000_000,
    physical_bits: 46,
    offers_pcid: true,
};

/// Answers all ones where features are, and a plausible rest.
fn everything(name: [u32; 3]) -> impl Fn(u32, u32) -> CpuidResult {
    move |leaf, subleaf| {
        let all = CpuidResult {
            eax: u32::MAX,
            ebx: u32::MAX,
            ecx: u32::MAX,
            edx: u32::MAX,
        };
        let with = |eax, ebx, ecx, edx| CpuidResult { eax, ebx, ecx, edx };
        match (leaf, subleaf) {
            (0, _) => with(0x20, name[0], name[1], name[2]),
            (1, _) => CpuidResult {
                eax: 0x0005_0654,
                ebx: 0x0010_0800,
                ..all
            },
            (4, 0) => with(0x1c00_4121, 1, 63, 0),
            (4, 1) => with(0x1c03_c163, 2, 4095, 6),
            (4, _) => with(0, 0, 0, 0),
            (7, 0) => CpuidResult { eax: 2, ..all },
            (0xd, 0) => with(u32::MAX, 0, 4096, 0),
            (0xd, 1) => with(u32::MAX, 0, 0, 0),
            (0xd, 2) => with(256, 576, 0, 0),
            (0xd, 5) => with(64, 1088, 0, 0),
            (0xd, 6) => with(512, 1152, 0, 0),
            (0xd, 7) => with(1024, 1664, 0, 0),
            (0x8000_0000, _) => with(0x8000_0028, name[0], name[1], name[2]),
            (0x8000_0008, _) => with(0x3934, u32::MAX, 0, 0),
            (0x8000_001d, n) if n < 4 => with(0x1c00_0121 | n << 5, 0, 0, 0),
            (0x8000_001d, _) => with(0, 0, 0, 0),
            _ => all,
        }
    }
}

const GENUINE_INTEL: [u32; 3] = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];
const AUTHENTIC_AMD: [u32; 3] = [0x6874_7541, 0x444d_4163, 0x6974_6e65];

fn intel() -> CpuModel {
    CpuModel::new(everything(GENUINE_INTEL), &PLAN)
}

fn amd() -> CpuModel {
    CpuModel::new(everything(AUTHENTIC_AMD), &PLAN)
}

fn ask(model: &CpuModel, leaf: u32, subleaf: u32) -> CpuidResult {
    model.cpuid(leaf, subleaf, || Dynamic {
        apic_id: 2,
        cr4: 0,
        xcr0: 1,
        is_apic_enabled: true,
    })
}

#[test]
fn vendors_are_told_apart() {
    assert_eq!(intel().vendor(), Vendor::Intel);
    assert_eq!(amd().vendor(), Vendor::Amd);
}

#[test]
fn the_table_is_grouped_sorted_and_unique() {
    for model in [intel(), amd()] {
        let mut rows = model.rows();
        assert!(rows.len() < 255);
        let as_built = rows.clone();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows, as_built);
    }
}

#[test]
fn every_bit_of_the_lists_and_no_other_is_offered() {
    let mask = |list: &[Feature]| list.iter().fold(0u32, |m, feature| m | 1 << feature.bit);
    let model = intel();
    let one = ask(&model, 1, 0);
    assert_eq!(one.ecx, mask(f::LEAF_1_ECX));
    assert_eq!(one.edx, mask(f::LEAF_1_EDX) | 1 << 9 | 1 << 28);
    let seven = ask(&model, 7, 0);
    assert_eq!(seven.eax, 1);
    assert_eq!(seven.ebx, mask(f::LEAF_7_EBX));
    assert_eq!(seven.ecx, mask(f::LEAF_7_ECX));
    assert_eq!(seven.edx, mask(f::LEAF_7_EDX));
    assert_eq!(ask(&model, 7, 1).eax, mask(f::LEAF_7_1_EAX));
    assert_eq!(ask(&model, 7, 2), CpuidResult::default());
    assert_eq!(ask(&model, 0xd, 1).eax, mask(f::LEAF_D_1_EAX));
    assert_eq!(ask(&model, 6, 0).eax, mask(f::LEAF_6_EAX));
    let model = amd();
    let extended = ask(&model, 0x8000_0001, 0);
    assert_eq!(extended.ecx, mask(f::LEAF_8000_0001_ECX) | 2);
    let repeated = (mask(f::LEAF_1_EDX) | 1 << 9) & f::AMD_REPEATED;
    assert_eq!(extended.edx, mask(f::LEAF_8000_0001_EDX) | repeated);
    assert_eq!(ask(&model, 0x8000_0007, 0).edx, 1 << 8);
    let ebx = ask(&model, 0x8000_0008, 0).ebx;
    assert_eq!(ebx, mask(f::LEAF_8000_0008_EBX));
    for hidden in [
        2,
        3,
        5,
        9,
        10,
        0xc,
        0xf,
        0x10,
        0x12,
        0x14,
        0x8000_000a,
        0x8000_001b,
    ] {
        assert_eq!(
            ask(&model, hidden, 0),
            CpuidResult::default(),
            "{hidden:#x}"
        );
    }
}

#[test]
fn a_list_names_each_bit_once() {
    for list in [
        f::LEAF_1_ECX,
        f::LEAF_1_EDX,
        f::LEAF_7_EBX,
        f::LEAF_7_ECX,
        f::LEAF_7_EDX,
        f::LEAF_8000_0001_ECX,
        f::LEAF_8000_0001_EDX,
        f::KVM_EAX,
    ] {
        assert!(list.is_sorted_by(|a, b| a.bit < b.bit), "{list:?}");
    }
}

#[test]
fn a_poor_cpu_is_offered_only_what_we_make() {
    let poor = |leaf, _| CpuidResult {
        eax: match leaf {
            0 => 5,
            0x8000_0000 => 0x8000_0004,
            _ => 0,
        },
        ..CpuidResult::default()
    };
    let plan = CpuPlan { vcpus: 1, ..PLAN };
    let model = CpuModel::new(poor, &plan);
    let made = |list: &[Feature]| {
        let made = list.iter().filter(|x| x.offer == Offer::Always);
        made.fold(0u32, |m, feature| m | 1 << feature.bit)
    };
    assert_eq!(ask(&model, 1, 0).ecx, made(f::LEAF_1_ECX));
    assert_eq!(ask(&model, 1, 0).edx, made(f::LEAF_1_EDX) | 1 << 9);
    assert_eq!(model.xcr0_allowed(), 0);
    assert_eq!(model.physical_bits(), 36);
    assert_eq!(ask(&model, 0xd, 0), CpuidResult::default());
    let without = CpuPlan {
        offers_pcid: false,
        ..PLAN
    };
    let model = CpuModel::new(everything(GENUINE_INTEL), &without);
    assert_eq!(ask(&model, 1, 0).ecx & 1 << 17, 0);
    assert_eq!(ask(&model, 7, 0).ebx & 1 << 10, 0);
    assert_eq!(model.cr4_allowed() & 1 << 17, 0);
}

#[test]
fn the_hypervisor_leaves_are_kvms_and_ours() {
    let name = |leaf: CpuidResult| {
        let words = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
        let mut name = [0; 12];
        name.copy_from_slice(words.as_flattened());
        name
    };
    let model = amd();
    let kvm = ask(&model, 0x4000_0000, 0);
    assert_eq!(&name(kvm), b"KVMKVMKVM\0\0\0");
    assert_eq!(kvm.eax, 0x4000_0010);
    assert_eq!(ask(&model, 0x4000_0001, 0).eax, 0x0100_2aaa);
    assert_eq!(ask(&model, 0x4000_0010, 0).eax, 2_111_998);
    assert_eq!(&name(ask(&model, 0x4000_0100, 0)), b"CaissonVM\0\0\0");
    assert_eq!(ask(&model, 0x4000_0200, 0), CpuidResult::default());
}

#[test]
fn beyond_the_end_each_vendor_answers_its_own_way() {
    let model = intel();
    let last = ask(&model, 0x16, 0);
    assert_eq!(last.eax, 2111);
    for leaf in [0x17, 0x3fff_ffff, 0x5000_0000, 0x8000_0009, u32::MAX] {
        assert_eq!(ask(&model, leaf, 0), last, "{leaf:#x}");
        assert_eq!(ask(&amd(), leaf, 0), CpuidResult::default(), "{leaf:#x}");
    }
}

#[test]
fn topology_is_one_package_of_cores() {
    let model = intel();
    let one = ask(&model, 1, 0);
    assert_eq!(one.ebx, 2 << 24 | 4 << 16 | 0x0800);
    let threads = ask(&model, 0xb, 0);
    assert_eq!(
        (threads.eax, threads.ebx, threads.ecx, threads.edx),
        (0, 1, 0x100, 2)
    );
    let cores = ask(&model, 0xb, 1);
    assert_eq!(
        (cores.eax, cores.ebx, cores.ecx, cores.edx),
        (2, 3, 0x201, 2)
    );
    let beyond = ask(&model, 0xb, 7);
    assert_eq!(
        (beyond.eax, beyond.ebx, beyond.ecx, beyond.edx),
        (0, 0, 7, 2)
    );
    let data = ask(&model, 4, 0);
    assert_eq!((data.eax >> 14 & 0xfff, data.eax >> 26), (0, 3));
    let last_level = ask(&model, 4, 1);
    assert_eq!((last_level.eax >> 14 & 0xfff, last_level.eax >> 26), (3, 3));
    assert_eq!(ask(&model, 4, 2), CpuidResult::default());

    let model = amd();
    assert_eq!(ask(&model, 0x8000_0008, 0).ecx, 2 << 12 | 2);
    assert_eq!(ask(&model, 0x8000_0008, 0).eax, 0x302e);
    let ids = ask(&model, 0x8000_001e, 0);
    assert_eq!((ids.eax, ids.ebx, ids.ecx), (2, 2, 0));
    assert_eq!(ask(&model, 0x8000_001d, 3).eax >> 14 & 0xfff, 3);
}

#[test]
fn the_tsc_frequency_comes_out_of_leaf_15_in_32_bit_arithmetic() {
    for tsc_khz in [800_000, 1_000_000, 2_111_998, 2_593_906, 3_999_999] {
        let plan = CpuPlan { tsc_khz, ..PLAN };
        let model = CpuModel::new(everything(GENUINE_INTEL), &plan);
        let leaf = ask(&model, 0x15, 0);
        let crystal_khz = leaf.ecx / 1000;
        let khz = crystal_khz.checked_mul(leaf.ebx).expect("32 bits") / leaf.eax;
        let error = u64::from(khz).abs_diff(tsc_khz);
        assert!(error <= tsc_khz / 5_000, "{khz} for {tsc_khz}");
    }
}

#[test]
fn the_xsave_area_follows_xcr0() {
    let model = intel();
    assert_eq!(model.xcr0_allowed(), 0xe7);
    let size = |subleaf, xcr0| {
        let state = Dynamic {
            xcr0,
            ..Dynamic::default()
        };
        model.cpuid(0xd, subleaf, || state).ebx
    };
    assert_eq!((size(0, 1), size(0, 7), size(0, 0xe7)), (576, 832, 2688));
    assert_eq!((size(1, 3), size(1, 7), size(1, 0xe7)), (576, 832, 2432));
    assert_eq!(ask(&model, 0xd, 0).ecx, 2688);
    assert_eq!(ask(&model, 0xd, 2).ebx, 576);
    assert_eq!(ask(&model, 0xd, 9), CpuidResult::default());
    for good in [1, 3, 7, 0xe7] {
        assert_eq!(model.check_xsetbv(0, good), Ok(()), "{good:#x}");
    }
    for bad in [0, 2, 5, 6, 0x27, 0xe3, 0x207, 1 << 63 | 1] {
        assert_eq!(
            model.check_xsetbv(0, bad),
            Err(GeneralProtection),
            "{bad:#x}"
        );
    }
    assert_eq!(model.check_xsetbv(1, 1), Err(GeneralProtection));
}

#[test]
fn osxsave_and_apic_follow_the_vcpu() {
    let off = Dynamic::default();
    let on = Dynamic {
        cr4: 1 << 18,
        ..off
    };
    let model = intel();
    assert_eq!(model.cpuid(1, 0, || off).ecx & 1 << 27, 0);
    assert_ne!(model.cpuid(1, 0, || on).ecx & 1 << 27, 0);
    assert_eq!(model.cpuid(1, 0, || off).edx & 1 << 9, 0);
    // Asked only where it matters.
    let _ = model.cpuid(0, 0, || panic!("leaf 0 follows nothing"));
}

mod saved;
