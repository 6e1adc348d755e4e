//! MSRs that do not exist fault with #GP(0), in both directions, and bad values for those that do.
#![cfg_attr(target_os = "none", no_std, no_main)]

use test_guests::cpu::{rdmsr, rdtsc, wrmsr};
use test_guests::{Outcome, Trap, catch, equal, guest, that};

guest!(test);

const EFER: u32 = 0xc000_0080;
const APIC_BASE: u32 = 0x1b;
const PAT: u32 = 0x277;

fn test() -> Outcome {
    for index in [
        0xdead_beef,
        0x0001_2345,
        0xc001_f234,
        0xc000_f000,
        0x8000_0000,
        0x0000_1fff,
    ] {
        refused(
            "reading",
            index,
            catch(|| test_guests::discard(rdmsr(index))),
        )?;
        refused("writing", index, catch(|| wrmsr(index, 0)))?;
    }
    refused(
        "a reserved bit",
        EFER,
        catch(|| wrmsr(EFER, rdmsr(EFER) | 1 << 40)),
    )?;
    refused(
        "long mode off under paging",
        EFER,
        catch(|| wrmsr(EFER, rdmsr(EFER) & !(1 << 8))),
    )?;
    refused(
        "a reserved bit",
        APIC_BASE,
        catch(|| wrmsr(APIC_BASE, rdmsr(APIC_BASE) | 1)),
    )?;
    refused("a reserved memory type", PAT, catch(|| wrmsr(PAT, 2)))?;

    let efer = rdmsr(EFER);
    equal("EFER lacks long mode", efer & 0x500, 0x500)?;
    let base = rdmsr(APIC_BASE);
    equal("APIC base", base & 0xf_ffff_f000, 0xfee0_0000)?;
    that("this CPU is not the boot processor", base & (1 << 8) != 0)?;
    let (first, second) = (rdmsr(0x10), rdtsc());
    that("the TSC MSR is ahead of RDTSC", first <= second)?;
    wrmsr(PAT, 0x0007_0406_0007_0406);
    equal("PAT", rdmsr(PAT), 0x0007_0406_0007_0406)
}

fn refused(what: &'static str, index: u32, trap: Option<Trap>) -> Outcome {
    match trap {
        Some(Trap {
            vector: 13,
            error: 0,
            ..
        }) => Ok(()),
        Some(trap) => equal(what, trap.vector.into(), 13),
        None => equal(what, index.into(), 0)
            .map_err(|_| test_guests::Fail::with("no #GP for MSR", index.into(), 13)),
    }
}
