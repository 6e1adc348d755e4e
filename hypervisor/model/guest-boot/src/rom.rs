//! The firmware's ROM, segment F000h: a few bytes of 16-bit code for each interrupt.
//!
//! A service's stub calls the hypervisor, which answers and has the stub return, halt, or ask again ([`Then`]). What has to
//! happen inside the guest is code here: the ends of hardware interrupts, the tick, waiting, power-on and reset.
//!
//! | offset | what |
//! |---|---|
//! | 0xE000 | 16 bytes for each of the interrupts 0 to 7Fh |
//! | 0xE800 | table of the configuration (INT 15h, AH=C0h) |
//! | 0xE810 | IRET, for all other interrupts |
//! | 0xE820 | reset |
//! | 0xE840 | the tick |
//! | 0xE880 | power-on: interrupt controllers and timer, then the kernel |
//! | 0xFFF0 | where a CPU starts: reset; date and model |
//!
//! (IBM Personal System/2 and Personal Computer BIOS Interface Technical Reference; Intel 8259A and 8254 datasheets)

use crate::CallInsn;
use alloc::vec::Vec;
use vcpu::InsnLen;

/// Where the stubs lie in the segment; interrupt `n` has the 16 bytes from `n` times 16 on.
pub(crate) const STUBS: u16 = 0xe000;
const STUB_BYTES: usize = 16;
const STUB_COUNT: usize = 0x80;
/// The table of the configuration.
pub(crate) const CONFIGURATION: u16 = 0xe800;
/// An IRET.
pub(crate) const NOTHING: u16 = 0xe810;
const RESET: u16 = 0xe820;
const TICK: u16 = 0xe840;
/// Where a 16-bit kernel's vCPU starts.
pub(crate) const POWER_ON: u16 = 0xe880;
/// The far pointer by which power-on goes to the kernel: offset, then segment.
pub(crate) const KERNEL_POINTER: u16 = POWER_ON + POWER_ON_CODE.len() as u16;
/// The last 16 bytes of the segment.
pub(crate) const LAST: u16 = 0xfff0;

/// Interrupts whose stub begins with a call.
const SERVICES: [u8; 9] = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1a];
/// IRQ 1: what the keyboard sent is in AL when it calls.
pub(crate) const KEYBOARD: u8 = 0x09;
/// Where the call lies in the keyboard's stub.
const KEYBOARD_CALL: u16 = 3;
const IRQ_0: u8 = 0x08;
const IRQ_8: u8 = 0x70;

const IRET: u8 = 0xcf;

/// Action of a stub after its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It goes on: a service returns, the keyboard's interrupt ends.
    Return,
    /// It waits for an interrupt with interrupts enabled, and calls again.
    Halt,
    /// It calls again.
    Poll,
}

impl Then {
    /// Returns the length to answer the call with: as if the instruction were so long.
    #[must_use]
    pub const fn len(self) -> InsnLen {
        match self {
            Self::Return => InsnLen::exactly::<3>(),
            Self::Halt => InsnLen::exactly::<4>(),
            Self::Poll => InsnLen::exactly::<8>(),
        }
    }
}

impl CallInsn {
    /// Its three bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 3] {
        match self {
            Self::Vmcall => [0x0f, 0x01, 0xc1],
            Self::Vmmcall => [0x0f, 0x01, 0xd9],
        }
    }
}

/// The interrupt whose stub has its call at `ip` of the segment.
pub(crate) fn call_at(ip: u64) -> Option<u8> {
    let inside = u16::try_from(ip).ok()?.checked_sub(STUBS)?;
    let interrupt = u8::try_from(inside / STUB_BYTES as u16).ok()?;
    let call = inside % STUB_BYTES as u16;
    let is_call = match interrupt {
        KEYBOARD => call == KEYBOARD_CALL,
        _ => call == 0 && SERVICES.contains(&interrupt),
    };
    is_call.then_some(interrupt)
}

/// Offset of an interrupt's code in the segment.
pub(crate) fn handler(interrupt: u8) -> u16 {
    let is_stub = matches!(interrupt, IRQ_0..=0x0f | IRQ_8..=0x77 | 0x18 | 0x19);
    if interrupt == IRQ_0 {
        TICK
    } else if is_stub || SERVICES.contains(&interrupt) {
        STUBS + u16::from(interrupt) * STUB_BYTES as u16
    } else {
        NOTHING
    }
}

/// Puts AL at the master's and at the slave's command port.
const END_OF_SLAVE: &[u8] = &[0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20];
/// mov al,20h · out 20h,al
const END_OF_MASTER: &[u8] = &[0xb0, 0x20, 0xe6, 0x20];

/// hlt · jmp to it
const HALT: &[u8] = &[0xf4, 0xeb, 0xfd];

/// mov dx,CF9h · mov al,6 · out dx,al, and nothing more.
const RESET_CODE: &[u8] = &[0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee];

/// Counts 40:6C up to a day, has user code follow, ends the interrupt.
const TICK_CODE: &[u8] = &[
    0x50, // push ax
    0x1e, // push ds
    0xb8, 0x40, 0x00, // mov ax,40h
    0x8e, 0xd8, // mov ds,ax
    0x66, 0xff, 0x06, 0x6c, 0x00, // inc dword [6Ch]
    0x66, 0x81, 0x3e, 0x6c, 0x00, 0xb0, 0x00, 0x18, 0x00, // cmp dword [6Ch],1800B0h
    0x72, 0x0e, // jb past the next two
    0x66, 0xc7, 0x06, 0x6c, 0x00, 0x00, 0x00, 0x00, 0x00, // mov dword [6Ch],0
    0xc6, 0x06, 0x70, 0x00, 0x01, // mov byte [70h],1
    0xcd, 0x1c, // int 1Ch
    0xb0, 0x20, 0xe6, 0x20, // mov al,20h · out 20h,al
    0x1f, // pop ds
    0x58, // pop ax
    0xcf, // iret
];

/// Interrupts from 08h and 70h on, of which tick, keyboard and cascade are open; 18.2 ticks a second. Changes AX and the
/// status flags. Ends in the opcode of a far jump, whose pointer follows.
const POWER_ON_CODE: &[u8] = &[
    0xfa, // cli
    0xb0, 0x11, 0xe6, 0x20, 0xe6, 0xa0, // ICW1: edges, cascade, ICW4 follows
    0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x70, 0xe6, 0xa1, // ICW2: first vector
    0xb0, 0x04, 0xe6, 0x21, 0xb0, 0x02, 0xe6, 0xa1, // ICW3: slave at input 2
    0xb0, 0x01, 0xe6, 0x21, 0xe6, 0xa1, // ICW4: 8086
    0xb0, 0xf8, 0xe6, 0x21, 0xb0, 0xff, 0xe6, 0xa1, // masks
    0xb0, 0x36, 0xe6, 0x43, // channel 0: two bytes follow, mode 3
    0xb0, 0x00, 0xe6, 0x40, 0xe6, 0x40, // 65536
    0x31, 0xc0, // xor ax,ax
    0xfc, // cld
    0xf8, // clc
    0xea, // jmp far
];

/// Eight bytes follow; an AT; has a second interrupt controller and a real-time clock. (INT 15h, AH=C0h)
const CONFIGURATION_TABLE: [u8; 10] = [8, 0, 0xfc, 0, 0, 0x60, 0, 0, 0, 0];

/// The pieces of the segment: offset and bytes.
pub(crate) fn pieces(call: CallInsn) -> [(u16, Vec<u8>); 2] {
    let stubs = (0..STUB_COUNT as u8).flat_map(|interrupt| stub(interrupt, call));
    let mut code: Vec<u8> = stubs.collect();
    let mut place = |at: u16, bytes: &[u8]| {
        code.resize(usize::from(at - STUBS), IRET);
        code.extend_from_slice(bytes);
    };
    place(CONFIGURATION, &CONFIGURATION_TABLE);
    place(NOTHING, &[IRET]);
    place(RESET, &[RESET_CODE, HALT].concat());
    place(TICK, TICK_CODE);
    place(POWER_ON, POWER_ON_CODE);

    let [low, high] = RESET.to_le_bytes();
    let mut last = [0xea, low, high, 0x00, 0xf0].to_vec();
    // The date, and the model: an AT.
    last.extend(b"01/01/99");
    last.extend([0, 0xfc, 0]);
    [(STUBS, code), (LAST, last)]
}

/// The 16 bytes of an interrupt.
fn stub(interrupt: u8, call: CallInsn) -> [u8; STUB_BYTES] {
    let push = [0x50];
    let pop_iret = [0x58, IRET];
    let code = match interrupt {
        // in al,60h, and the call
        KEYBOARD => [
            &push[..],
            &[0xe4, 0x60],
            &call.bytes(),
            END_OF_MASTER,
            &pop_iret,
        ]
        .concat(),
        IRQ_0..=0x0f => [&push[..], END_OF_MASTER, &pop_iret].concat(),
        // Register C has to be read: mov al,0Ch · out 70h,al · in al,71h
        IRQ_8 => [
            &push[..],
            &[0xb0, 0x0c, 0xe6, 0x70, 0xe4, 0x71],
            END_OF_SLAVE,
            &pop_iret,
        ]
        .concat(),
        0x71..=0x77 => [&push[..], END_OF_SLAVE, &pop_iret].concat(),
        // No other system to boot: jmp far to the reset.
        0x18 | 0x19 => {
            let [low, high] = RESET.to_le_bytes();
            [0xea, low, high, 0x00, 0xf0].to_vec()
        }
        // The call; IRET for `Then::Return`; STI, HLT and back for `Then::Halt`; PAUSE and back for `Then::Poll`.
        _ if SERVICES.contains(&interrupt) => [
            &call.bytes()[..],
            &[IRET, 0xfb, 0xf4, 0xeb, 0xf8, 0xf3, 0x90, 0xeb, 0xf4],
        ]
        .concat(),
        _ => Vec::new(),
    };
    let mut bytes = [IRET; STUB_BYTES];
    for (to, from) in bytes.iter_mut().zip(code) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_where_the_code_has_them() {
        let [(at, code), _] = pieces(CallInsn::Vmcall);
        let calls: Vec<u8> = (0..=0xffff_i64)
            .filter(|ip| {
                let inside = usize::try_from(ip - i64::from(at));
                let bytes = inside.ok().and_then(|at| code.get(at..at + 3));
                bytes == Some(&[0x0f, 0x01, 0xc1])
            })
            .filter_map(|ip| call_at(ip as u64))
            .collect();
        let known: Vec<u8> = (0..=0xffff).filter_map(call_at).collect();
        assert_eq!(calls, known);
        assert_eq!(known.len(), SERVICES.len() + 1);
        assert_eq!(call_at(0x1_e100), None);
        assert_eq!(call_at(0xe101), None);
    }

    #[test]
    fn jumps_inside_a_stub_lead_to_its_call() {
        let code = stub(0x16, CallInsn::Vmmcall);
        for then in [Then::Return, Then::Halt, Then::Poll] {
            let at = usize::from(then.len().bytes());
            let jump = at
                + code[at..]
                    .iter()
                    .position(|byte| *byte == 0xeb)
                    .unwrap_or(0);
            match then {
                Then::Return => assert_eq!(code[at], IRET),
                Then::Halt | Then::Poll => {
                    let target = jump as i32 + 2 + i32::from(code[jump + 1] as i8);
                    assert_eq!(target, 0);
                }
            }
        }
    }

    #[test]
    fn pieces_do_not_run_into_each_other() {
        assert!(TICK_CODE.len() <= usize::from(POWER_ON - TICK));
        let [(at, code), (last, end)] = pieces(CallInsn::Vmcall);
        assert_eq!(usize::from(at) + code.len(), usize::from(KERNEL_POINTER));
        assert_eq!(usize::from(last) + end.len(), 0x1_0000);
        assert_eq!(code[usize::from(NOTHING - at)], IRET);
        // The tick's one jump leads to `int 1Ch`.
        assert_eq!(&TICK_CODE[23 + 14..][..2], &[0xcd, 0x1c]);
    }
}
