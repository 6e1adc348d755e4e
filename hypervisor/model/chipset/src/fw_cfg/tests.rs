use super::*;
use alloc::vec::Vec;
use device::tamper::refuses;

/// Where the tests' descriptor lies, in memory of 16 MiB.
const DESCRIPTOR: usize = 0x100;
const MEMORY_BYTES: usize = 16 << 20;
const BIG: u16 = key::INITRD_DATA;

fn device() -> FwCfg {
    let big: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
    FwCfg::new(
        Items::new()
            .u16(key::NB_CPUS, 3)
            .bytes(BIG, big)
            .file("etc/e820", [1, 2, 3].as_slice())
            .file("bootorder", b"".as_slice()),
    )
}

fn select(fw: &mut FwCfg, key: u16) {
    fw.write(SELECTOR_PORT, Width::Word, key.into())
        .expect("the selector");
}

fn bytes(fw: &mut FwCfg, key: u16, count: usize) -> Vec<u8> {
    select(fw, key);
    let mut next = || fw.read(DATA_PORT, Width::Byte).expect("data") as u8;
    (0..count).map(|_| next()).collect()
}

/// Serves the device as a harness does after an access.
fn serve(fw: &mut FwCfg, memory: &mut [u8]) {
    if let Some(at) = fw.descriptor() {
        let at = usize::try_from(at.raw()).unwrap_or(usize::MAX);
        let bytes = memory.get(at..at.saturating_add(16));
        fw.begin(bytes.and_then(|bytes| bytes.try_into().ok()));
    }
    while let Some(piece) = fw.piece() {
        let zeros;
        let content = match piece.content {
            PieceContent::Bytes(bytes) => bytes,
            PieceContent::Zeros(len) => {
                zeros = alloc::vec![0; len as usize];
                zeros.as_slice()
            }
        };
        let at = usize::try_from(piece.at.raw()).unwrap_or(usize::MAX);
        let place = memory.get_mut(at..at.saturating_add(content.len()));
        let is_written = place.map(|place| place.copy_from_slice(content)).is_some();
        fw.moved(is_written);
    }
    if let Some((at, control)) = fw.take_result() {
        let at = at.raw() as usize;
        memory[at..at + 4].copy_from_slice(&control);
    }
}

fn order(fw: &mut FwCfg, memory: &mut [u8], control: u32, len: u32, to: u64) {
    let place = &mut memory[DESCRIPTOR..DESCRIPTOR + 16];
    place[..4].copy_from_slice(&control.to_be_bytes());
    place[4..8].copy_from_slice(&len.to_be_bytes());
    place[8..].copy_from_slice(&to.to_be_bytes());
    fw.write(DMA_HIGH_PORT, Width::Dword, 0).expect("high");
    let low = (DESCRIPTOR as u32).swap_bytes();
    fw.write(DMA_LOW_PORT, Width::Dword, low).expect("low");
    serve(fw, memory);
}

fn control(memory: &[u8]) -> u32 {
    u32::from_be_bytes(memory[DESCRIPTOR..DESCRIPTOR + 4].try_into().expect("four"))
}

/// Lets time pass until nothing is under way; returns how often it had to.
fn finish(fw: &mut FwCfg, memory: &mut [u8]) -> u32 {
    let mut rounds = 0;
    while let Some(at) = fw.deadline() {
        fw.advance(at);
        serve(fw, memory);
        rounds += 1;
    }
    rounds
}

#[test]
fn items_are_read_a_byte_at_a_time_and_end_in_zeros() {
    let mut fw = device();
    assert_eq!(bytes(&mut fw, key::SIGNATURE, 6), b"QEMU\0\0");
    assert_eq!(bytes(&mut fw, key::ID, 4), [3, 0, 0, 0]);
    assert_eq!(bytes(&mut fw, key::NB_CPUS | WRITES, 2), [3, 0]);
    assert_eq!(bytes(&mut fw, 0x7777, 2), [0, 0]);
}

#[test]
fn files_are_sorted_and_the_directory_tells_their_numbers() {
    let mut fw = device();
    let directory = bytes(&mut fw, key::FILE_DIR, 4 + 2 * 64);
    assert_eq!(directory[..4], [0, 0, 0, 2]);
    assert_eq!(directory[4..12], [0, 0, 0, 0, 0, 0x20, 0, 0]);
    assert!(directory[12..].starts_with(b"bootorder\0"));
    assert_eq!(directory[68..76], [0, 0, 0, 3, 0, 0x21, 0, 0]);
    assert!(directory[76..].starts_with(b"etc/e820\0"));
    assert_eq!(bytes(&mut fw, 0x21, 4), [1, 2, 3, 0]);
}

#[test]
fn the_address_register_can_be_told_from_nothing() {
    let mut fw = device();
    assert_eq!(
        fw.read(DMA_HIGH_PORT, Width::Dword),
        Ok(u32::from_le_bytes(*b"QEMU"))
    );
    assert_eq!(
        fw.read(DMA_LOW_PORT, Width::Dword),
        Ok(u32::from_le_bytes(*b" CFG"))
    );
    assert_eq!(fw.read(0x51a, Width::Dword), Err(Refused::Misaligned));
}

#[test]
fn a_copy_selects_skips_reads_and_fills_with_zeros() {
    let mut fw = device();
    let mut memory = alloc::vec![0xee; MEMORY_BYTES];
    order(
        &mut fw,
        &mut memory,
        u32::from(BIG) << 16 | 8 | 4,
        199_990,
        0,
    );
    assert_eq!(control(&memory), 0);
    order(&mut fw, &mut memory, 2, 20, 0x2000);
    assert_eq!(control(&memory), 0);
    let wanted: Vec<u8> = (199_990..200_000u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(memory[0x2000..0x200a], wanted);
    assert_eq!(memory[0x200a..0x2015], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee]);
}

#[test]
fn a_long_copy_comes_in_pieces_and_says_so_when_it_is_done() {
    let mut fw = device();
    let mut memory = alloc::vec![0xee; MEMORY_BYTES];
    order(
        &mut fw,
        &mut memory,
        u32::from(BIG) << 16 | 8 | 2,
        200_000,
        0x1_0000,
    );
    assert_ne!(control(&memory), 0, "not done at once");
    assert_eq!(finish(&mut fw, &mut memory), 3);
    assert_eq!(control(&memory), 0);
    let is_same = |at: usize| memory[0x1_0000 + at] == (at % 251) as u8;
    assert!((0..200_000).all(is_same));
}

#[test]
fn many_orders_copy_no_faster_than_one() {
    const PIECE: u32 = 64 * 1024;
    let mut fw = device();
    for len in [PIECE, PIECE - 1] {
        fw.advance(Instant::from_ns(fw.now.as_ns() + 1_000 * PIECE_NS));
        let mut memory = alloc::vec![0xee; MEMORY_BYTES];
        let control_word = u32::from(BIG) << 16 | 8 | 2;
        let places = || (1..100).map(|number| number * 0x2_0000);
        for to in places() {
            order(&mut fw, &mut memory, control_word, len, to);
        }
        let written = places().filter(|to| memory[*to as usize] == 0).count();
        assert!(written <= 2, "{written}");
        finish(&mut fw, &mut memory);
        assert_eq!(control(&memory), 0);
    }
}

#[test]
fn the_state_in_the_middle_of_a_copy_is_plain_data() {
    let mut fw = device();
    let mut memory = alloc::vec![0xee; MEMORY_BYTES];
    order(
        &mut fw,
        &mut memory,
        u32::from(BIG) << 16 | 8 | 2,
        200_000,
        0x1_0000,
    );
    let mut other = device();
    other.advance(fw.now);
    other.set_state(fw.state()).expect("a state");
    finish(&mut other, &mut memory);
    assert_eq!(control(&memory), 0);
    assert_eq!(memory[0x1_0000 + 199_999], (199_999 % 251) as u8);
}

#[test]
fn writing_is_refused() {
    let mut fw = device();
    let mut memory = alloc::vec![0; MEMORY_BYTES];
    order(
        &mut fw,
        &mut memory,
        u32::from(key::NB_CPUS) << 16 | 8 | 16,
        2,
        0x2000,
    );
    assert_eq!(control(&memory), 1);
    assert_eq!(bytes(&mut fw, key::NB_CPUS, 1), [3]);
}

#[test]
fn hostile_orders_end_in_an_error_or_in_nothing() {
    let mut memory = alloc::vec![0; MEMORY_BYTES];
    for to in [MEMORY_BYTES as u64 - 1, u64::MAX, u64::MAX - 3, 1 << 63] {
        let mut fw = device();
        order(
            &mut fw,
            &mut memory,
            u32::from(BIG) << 16 | 8 | 2,
            u32::MAX,
            to,
        );
        finish(&mut fw, &mut memory);
        assert_eq!(control(&memory), 1, "{to:#x}");
    }
    // 4 GiB of zeros to where there is memory for a part of them: one piece at a time, and an end.
    let mut fw = device();
    order(
        &mut fw,
        &mut memory,
        u32::from(key::UUID) << 16 | 8 | 2,
        u32::MAX,
        0x1000,
    );
    assert!(finish(&mut fw, &mut memory) <= (MEMORY_BYTES >> 16) as u32);
    assert_eq!(control(&memory), 1);
    // Descriptors outside memory.
    for (high, low) in [(u32::MAX, u32::MAX), (0, u32::MAX), (0x8000_0000, 0)] {
        let mut fw = device();
        fw.write(DMA_HIGH_PORT, Width::Dword, high).expect("high");
        fw.write(DMA_LOW_PORT, Width::Dword, low).expect("low");
        serve(&mut fw, &mut memory);
        assert_eq!((fw.deadline(), fw.take_result()), (None, None));
    }
    // Skipping never passes an item's end, nor wraps.
    let mut fw = device();
    for _ in 0..3 {
        order(&mut fw, &mut memory, 4, u32::MAX, 0);
    }
    assert_eq!(fw.state().offset, 4);
}

#[test]
fn every_port_and_width_is_harmless() {
    let mut fw = device();
    let mut memory = alloc::vec![0; MEMORY_BYTES];
    for port in 0x510..0x51c {
        for width in [Width::Byte, Width::Word, Width::Dword] {
            for value in [0, 1, 0x1900, u32::MAX] {
                let _ = fw.write(port, width, value);
                serve(&mut fw, &mut memory);
                let _ = fw.read(port, width);
            }
        }
    }
    fw.reset();
    assert_eq!(fw.state(), FwCfgState::default());
}

#[test]
fn the_last_item_of_a_number_counts() {
    let items = Items::new().u16(key::MAX_CPUS, 9).u16(key::NB_CPUS, 3);
    let mut fw = FwCfg::new(items.u16(key::MAX_CPUS, 4));
    assert_eq!(bytes(&mut fw, key::MAX_CPUS, 3), [4, 0, 0]);
    assert_eq!(bytes(&mut fw, key::NB_CPUS, 2), [3, 0]);
    assert_eq!(bytes(&mut fw, key::SIGNATURE, 4), b"QEMU");
}

#[test]
fn what_no_device_with_these_items_was_is_refused() {
    let fw = device();
    assert!(!refuses(&fw, |state| state.selector = 0x7fff & !WRITES));
    assert!(refuses(&fw, |state| state.selector = WRITES));
    assert!(refuses(&fw, |state| state.offset = 1 << 30));
    assert!(refuses(&fw, |state| {
        state.busy_until = fw.now.after_ns(2 * PIECE_NS + 1);
    }));
    let copying = |left_bytes| Transfer::Copying {
        descriptor: 0,
        to: 0,
        left_bytes,
    };
    assert!(!refuses(&fw, |state| state.transfer = Some(copying(1))));
    assert!(refuses(&fw, |state| state.transfer = Some(copying(0))));
    let done = Transfer::Done {
        descriptor: 0,
        control: 2,
    };
    assert!(refuses(&fw, |state| state.transfer = Some(done)));
}
