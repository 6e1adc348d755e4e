//! Whole-VM stories: a VM is put together from its specification, and the exits of its vCPUs are those of the test.

mod bios;
mod console;
mod dump;
mod exits;
mod host;
mod hostile;
mod interrupts;
mod ipi;
mod kvm;
mod life;
mod operator;
mod pause;
mod registry;
mod rig;
mod saved;
mod screen;
mod sharing;
mod shell;
mod signals;
mod tampered;
mod time;
mod typing;
