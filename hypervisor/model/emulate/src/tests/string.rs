//! MOVS, STOS, LODS, CMPS, SCAS.

use super::*;

#[test]
fn strings_copy_between_ram_and_the_device() {
    // rep movsd, RAM to device
    let mut bench = Bench::long().set(Gpr::Rcx, 3);
    bench.ram.fill(Gpa::new(DATA), 12, 0x5a).expect("RAM");
    bench.done(&[0xf3, 0xa5], 0, Write);
    assert_eq!(bench.device.log.len(), 3);
    assert_eq!(bench.get(Gpr::Rdi), DEVICE + 12);
    assert_eq!(bench.get(Gpr::Rsi), DATA + 12);
    // rep movsb, device to RAM, downwards
    let mut bench = Bench::long()
        .set(Gpr::Rcx, 2)
        .set(Gpr::Rsi, DEVICE + 5)
        .set(Gpr::Rdi, DATA + 1);
    bench.vcpu.state.rflags |= 0x400;
    bench.done(&[0xf3, 0xa4], 5, Read);
    assert_eq!(bench.ram_u64(DATA), 0x0504);
    assert_eq!(bench.get(Gpr::Rcx), 0);
    // repe cmpsb ends at the first difference; repne scasb at the first hit
    let mut bench = Bench::long().set(Gpr::Rcx, 9).set(Gpr::Rsi, DATA);
    bench.ram.write(Gpa::new(DATA), &[0, 1, 7]).expect("RAM");
    bench.done(&[0xf3, 0xa6], 0, Read);
    assert_eq!(bench.get(Gpr::Rcx), 6);
    let mut bench = Bench::long().set(Gpr::Rcx, 99).set(Gpr::Rax, 4);
    bench.done(&[0xf2, 0xae], 0, Read);
    assert_eq!(bench.get(Gpr::Rcx), 94);
    // lodsw, stosq
    let mut bench = Bench::long().set(Gpr::Rsi, DEVICE + 2);
    bench.done(&[0x66, 0xad], 2, Read);
    assert_eq!(bench.get(Gpr::Rax), 0x0302);
    bench.done(&[0x48, 0xab], 0, Write);
    assert_eq!(bench.device.log[1], ('w', DEVICE, Width::Qword, 0x0302));
}

#[test]
fn a_long_string_gives_way() {
    let mut bench = Bench::long().set(Gpr::Rcx, 1000);
    let outcome = bench.run(&[0xf3, 0xaa], 0, Write);
    assert_eq!(outcome, Outcome::Again);
    assert_eq!(bench.get(Gpr::Rcx), 1000 - 256);
    assert_eq!(bench.vcpu.rip(), CODE);
}
