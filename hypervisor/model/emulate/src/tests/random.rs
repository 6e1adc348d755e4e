//! Random code and registers.

use super::*;

#[test]
fn random_bytes_in_any_mode_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..2_000u64 {
        let mut bench = if round % 3 == 0 {
            Bench::real()
        } else {
            Bench::long()
        };
        if round % 3 == 1 {
            with_paging(&mut bench);
        }
        for reg in Gpr::ALL {
            let value = match random() % 3 {
                0 => random(),
                1 => DEVICE + random() % 4096,
                _ => random() % 0x1_0000,
            };
            bench.vcpu.set_gpr(reg, value);
        }
        bench.vcpu.state.cr4 |= random() & 0x30_1030;
        bench.vcpu.state.cr0 |= random() & 0x8001_0001;
        bench.vcpu.state.rip = random() % 0x10000;
        let mut code = random().to_le_bytes();
        if random() % 2 == 0 {
            code[0] = [0x0f, 0xf3, 0xf0, 0x48][(random() % 4) as usize];
        }
        let place = bench.vcpu.state.segment[SegmentRegister::Cs as usize].base + bench.vcpu.rip();
        let _ = bench.ram.write(Gpa::new(place), &code);
        let fault = SlatFault {
            gpa: Gpa::new(DEVICE + random() % 4096),
            access: [Read, Write][(random() % 2) as usize],
            gva: None,
            is_table_walk: false,
            is_delivery: false,
            insn: InsnBytes {
                count: (random() % 16) as u8,
                bytes: core::array::from_fn(|_| random() as u8),
            },
        };
        let before = bench.vcpu.state.clone();
        let outcome = execute(&mut bench.vcpu, &bench.ram, &fault, &mut bench.device);
        if matches!(outcome, Outcome::Unsupported(_)) {
            assert_eq!(bench.vcpu.state, before);
        }
    }
}
