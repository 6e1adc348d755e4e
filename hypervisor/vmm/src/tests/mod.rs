//! Whole-VM stories: a VM is put together from its specification, and the exits of its vCPUs are those of the test.

mod bios;
mod bus;
mod dump;
mod exits;
mod hostile;
mod interrupts;
mod ipi;
mod kvm;
mod life;
mod pause;
mod registry;
mod saved;
mod saved_ends;
mod sections;
mod sharing;
mod signals;
mod tampered;
mod time;
