//! Exits: one line for the meaning of each. Start reading here.

mod bios_calls;
pub(crate) mod kvm;
pub(crate) mod log_lines;
pub(crate) mod mmio;
pub(crate) mod msr;
pub(crate) mod ports;

use crate::exit::bios_calls::BiosView;
use crate::exit::ports::Ports;
use crate::vcpu::{Next, VirtualCpu};
use board::StopReason;
use core::sync::atomic::Ordering;
use emulate::Outcome;
use guest_boot::bios::Then;
use host::Host;
use vcpu::{
    Activity, Cpuid, Exit, Halt, Hypercall, Pause, PioIn, PioOut, PioString, ReadMsr, Vcpu,
    WriteMsr, Xsetbv,
};

/// Number of exits because of spinning after which a vCPU leaves its CPU to other VMs: some 50 us.
const SPINS_ALONE: u32 = 16;

impl<H: Host> VirtualCpu<H> {
    /// Answers one exit.
    pub(crate) fn handle(&mut self, exit: Exit) -> Next {
        match exit {
            Exit::PioIn(io) => self.pio_in(io),
            Exit::PioOut(io) => self.pio_out(io),
            Exit::PioString(io) => self.pio_string(io),
            Exit::SlatFault(fault) => mmio::touch(self, &fault),
            Exit::Cpuid(cpuid) => self.cpuid(cpuid),
            Exit::ReadMsr(msr) => self.read_msr_exit(msr),
            Exit::WriteMsr(msr) => self.write_msr_exit(msr),
            Exit::Xsetbv(xsetbv) => self.xsetbv(xsetbv),
            Exit::Hypercall(call) => self.hypercall(call),
            Exit::Halt(halt) => self.halt(halt),
            Exit::Pause(pause) => self.pause(pause),
            Exit::HostInterrupt => Next::HostInterrupt,
            Exit::InterruptWindow => Next::Resume,
            Exit::Shutdown => self.stop(StopReason::TripleFault),
            Exit::EntryRefused(refused) => self.refused(refused.reason),
            Exit::Unexpected(raw) => self.dump(StopReason::Unexpected(raw)),
        }
    }

    #[inline]
    fn pio_in(&mut self, io: PioIn) -> Next {
        let value = match self.bus.pio.read(io.port, io.width) {
            Some(value) => value,
            None => {
                self.vm.report_empty_port(io.port);
                io.width.ones() as u32
            }
        };
        io.answer(&mut self.backend, value);
        Next::Resume
    }

    #[inline]
    fn pio_out(&mut self, io: PioOut) -> Next {
        if self.bus.pio.write(io.port, io.width, io.value).is_none() {
            self.vm.report_empty_port(io.port);
        }
        self.settle_bus();
        io.answer(&mut self.backend);
        Next::Resume
    }

    fn pio_string(&mut self, io: PioString) -> Next {
        let mut ports = Ports(&self.bus.pio);
        let vm = &self.vm;
        let limit = self.bus.pio.string_limit(io.port);
        let outcome = emulate::pio_string(&mut self.backend, vm.ram(), io, &mut ports, limit);
        self.settle_bus();
        match outcome {
            // Whatever became of it, the registers say so and the guest goes on.
            Outcome::Retired | Outcome::Faulted | Outcome::Again | Outcome::Unsupported(_) => {
                Next::Resume
            }
        }
    }

    #[inline]
    fn cpuid(&mut self, cpuid: Cpuid) -> Next {
        let (local, backend) = (&self.local, &self.backend);
        let inputs = || local.cpuid_inputs(backend);
        let result = self.vm.model().cpuid(cpuid.leaf, cpuid.subleaf, inputs);
        cpuid.answer(&mut self.backend, result);
        Next::Resume
    }

    #[inline]
    fn read_msr_exit(&mut self, msr: ReadMsr) -> Next {
        let value = self.read_msr(msr.index);
        msr.answer(&mut self.backend, value);
        Next::Resume
    }

    #[inline]
    fn write_msr_exit(&mut self, msr: WriteMsr) -> Next {
        let result = self.write_msr(msr.index, msr.value);
        msr.answer(&mut self.backend, result);
        Next::Resume
    }

    fn xsetbv(&mut self, xsetbv: Xsetbv) -> Next {
        let result = self.vm.model().check_xsetbv(xsetbv.index, xsetbv.value);
        xsetbv.answer(&mut self.backend, result);
        Next::Resume
    }

    fn hypercall(&mut self, call: Hypercall) -> Next {
        if let Some(interrupt) = bios::called(&self.backend) {
            let view = BiosView {
                vm: &self.vm,
                pio: &self.bus.pio,
            };
            let then = bios::answer(&mut self.backend, &view, interrupt);
            self.settle_bus();
            return match then {
                Then::Return | Then::Halt => Next::Resume,
                // The stub asks again: others may have the CPU until then.
                Then::Poll => Next::YieldTurn,
            };
        }
        let (result, next) = self.kvm_call();
        call.answer(&mut self.backend, result);
        next
    }

    #[inline]
    fn halt(&mut self, halt: Halt) -> Next {
        halt.answer(&mut self.backend);
        // What is pending already wakes it before it sleeps: `step` offers events first.
        self.activity = Activity::Halted;
        Next::Resume
    }

    /// The guest spins. If another vCPU of its VM waits for this CPU, that is probably the one it
    /// waits for; else the one it waits for may be running elsewhere and done soon, so this one
    /// goes on for a while before it leaves the CPU to others.
    fn pause(&mut self, pause: Pause) -> Next {
        pause.answer(&mut self.backend);
        self.spins += 1;
        if self.has_waiting_sibling || self.spins >= SPINS_ALONE {
            self.spins = 0;
            Next::YieldTurn
        } else {
            Next::Resume
        }
    }

    /// Orders the VM to end; this vCPU finds the order in its mail.
    pub(crate) fn stop(&mut self, reason: StopReason) -> Next {
        self.vm.lifecycle().end(reason);
        Next::Resume
    }

    /// The CPU does not take the state: our mistake, unless it comes from a saved state.
    fn refused(&mut self, why: &'static str) -> Next {
        if self.is_unproven() {
            self.stop(StopReason::BadSavedState { why })
        } else {
            self.dump(StopReason::EntryRefused(why))
        }
    }

    /// As `stop`, with the whole state in the log if this is why the VM ends. A guest may come here as often as it likes: it fills the log
    /// once only until the operator starts its VM again.
    fn dump(&mut self, reason: StopReason) -> Next {
        let counts = self.vm.lifecycle().end(reason);
        if counts && !self.vm.is_described.swap(true, Ordering::Relaxed) {
            log::error!("vm {}: vCPU {}: {reason}", self.vm.name(), self.id);
            let mut lines = crate::exit::log_lines::LogLines::of(self.vm.name());
            // The sink never fails.
            let _ = self.backend.describe(&mut lines);
        }
        Next::Resume
    }
}
