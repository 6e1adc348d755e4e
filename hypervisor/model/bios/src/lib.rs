//! BIOS services, for guests in real mode that call them.
//!
//! The guest's ROM (`guest_boot::bios`) has a stub for each interrupt that calls the hypervisor; here the call is answered, in
//! registers, in the flags that the interrupt has put on the guest's stack, and in the BIOS data area, where all state is. What
//! takes time is done by the stub, which halts or asks again, so every answer is short whatever the guest's registers hold. A
//! guest can write the ROM and the data area; all it gets is another answer.
//!
//! | interrupt | what | where |
//! |---|---|---|
//! | 10h | text on the VGA screen, and on COM1 where that is the VM's console | `video.rs`, `text.rs` |
//! | 11h, 12h, 15h | equipment, memory, its map, waiting, A20 | `system.rs` |
//! | 13h, 14h, 17h, 1Ah | no disks; COM1 and COM2; no printer; ticks, clock, no PCI BIOS | `devices.rs` |
//! | 09h, 16h | keyboard; keys typed on COM1 where that is the VM's console | `keyboard.rs` |
//!
//! Follows the IBM Personal System/2 and Personal Computer BIOS Interface Technical Reference, and ACPI 6.5 15.1 for the map.
#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm
)]

mod devices;
mod keyboard;
mod system;
mod text;
mod video;

use addr::Gpa;
use guest_boot::MemoryLayout;
use guest_boot::bios::{self, Then};
use guest_memory::GuestMemory;
use time::Instant;
use vcpu::Vcpu;
use x86::{Cr0, Gpr, Rflags, SegmentRegister, Width};

/// The PC around a vCPU that calls.
pub trait Pc {
    /// Its RAM.
    type Ram: GuestMemory;

    /// Returns its RAM.
    fn ram(&self) -> &Self::Ram;

    /// Returns where its RAM lies.
    fn layout(&self) -> &MemoryLayout;

    /// Returns the guest's time.
    fn now(&self) -> Instant;

    /// Reads a byte from a port; all ones where there is no device.
    fn input(&self, port: u16) -> u8;

    /// Writes a byte to a port; it is lost where there is no device.
    fn output(&self, port: u16, value: u8);

    /// Returns whether the operator meets the guest on COM1, and not at its screen.
    fn has_serial_console(&self) -> bool;
}

/// Returns the interrupt whose service this vCPU calls, if it is in real mode and at such a call.
pub fn called(vcpu: &impl Vcpu) -> Option<u8> {
    let state = vcpu.paging();
    if state.cr0 & Cr0::PROTECTED_MODE_ENABLE.bits() != 0 {
        return None;
    }
    bios::call_at(state.cs.base, state.rip)
}

/// Answers a call of the service of this interrupt, which [`called`] returned. The calling instruction
/// is retired; returns how the stub goes on.
pub fn answer<V: Vcpu, P: Pc>(vcpu: &mut V, pc: &P, interrupt: u8) -> Then {
    let mut call = Call { vcpu, pc };
    let then = match interrupt {
        bios::KEYBOARD_INTERRUPT => keyboard::take(&mut call),
        0x10 => video::answer(&mut call),
        0x11 => system::equipment(&mut call),
        0x12 => system::memory_size(&mut call),
        0x13 => devices::disk(&mut call),
        0x14 => devices::serial(&mut call),
        0x15 => system::answer(&mut call),
        0x16 => keyboard::answer(&mut call),
        0x17 => devices::printer(&mut call),
        0x1a => devices::clock(&mut call),
        _ => Then::Return,
    };
    vcpu.retire(then.len());
    then
}

/// A call under way.
struct Call<'a, V, P> {
    vcpu: &'a mut V,
    pc: &'a P,
}

impl<V: Vcpu, P: Pc> Call<'_, V, P> {
    fn wide(&self, reg: Gpr) -> u32 {
        self.vcpu.gpr(reg) as u32
    }

    fn word(&self, reg: Gpr) -> u16 {
        self.vcpu.gpr(reg) as u16
    }

    fn low(&self, reg: Gpr) -> u8 {
        self.vcpu.gpr(reg) as u8
    }

    fn high(&self, reg: Gpr) -> u8 {
        (self.vcpu.gpr(reg) >> 8) as u8
    }

    fn set_wide(&mut self, reg: Gpr, value: u32) {
        self.vcpu.set_gpr(reg, value.into());
    }

    /// The upper bits stay.
    fn set_word(&mut self, reg: Gpr, value: u16) {
        let whole = Width::Word.merge(self.vcpu.gpr(reg), value.into());
        self.vcpu.set_gpr(reg, whole);
    }

    fn set_low(&mut self, reg: Gpr, value: u8) {
        let high = u16::from(self.high(reg)) << 8;
        self.set_word(reg, high | u16::from(value));
    }

    fn set_high(&mut self, reg: Gpr, value: u8) {
        let low = u16::from(self.low(reg));
        self.set_word(reg, u16::from(value) << 8 | low);
    }

    /// Where a real-mode address lies.
    fn far(&self, segment: SegmentRegister, offset: u16) -> Gpa {
        let base = self.vcpu.segment(segment).base;
        Gpa::new(base).wrapping_add(offset.into())
    }

    /// Sets or clears flags in the image that the stub's IRET restores: above IP and CS on the stack.
    fn set_flag(&self, flag: Rflags, is_set: bool) {
        let sp = self.word(Gpr::Rsp);
        let at = self.far(SegmentRegister::Ss, sp.wrapping_add(4));
        let flag = flag.bits() as u16;
        let flags = self.read_u16(at);
        let flags = if is_set { flags | flag } else { flags & !flag };
        self.write(at, &flags.to_le_bytes());
    }

    /// The service says that it has, or has not, done what it was asked for.
    fn set_failed(&self, is_failed: bool) {
        self.set_flag(Rflags::CARRY_FLAG, is_failed);
    }

    /// Reads one byte; what is not in RAM reads as zeros.
    fn read_u8(&self, at: Gpa) -> u8 {
        let mut byte = [0];
        let _ = self.pc.ram().read(at, &mut byte);
        byte[0]
    }

    fn read_u16(&self, at: Gpa) -> u16 {
        let mut bytes = [0; 2];
        let _ = self.pc.ram().read(at, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    fn read_u32(&self, at: Gpa) -> u32 {
        let mut bytes = [0; 4];
        let _ = self.pc.ram().read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Writes `bytes`; what is not in RAM is lost, as on a PC.
    fn write(&self, at: Gpa, bytes: &[u8]) {
        let _ = self.pc.ram().write(at, bytes);
    }

    fn input(&self, port: u16) -> u8 {
        self.pc.input(port)
    }

    fn output(&self, port: u16, value: u8) {
        self.pc.output(port, value);
    }
}
