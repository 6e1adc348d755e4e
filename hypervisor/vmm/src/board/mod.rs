//! What a VM is made of.

pub(crate) mod alarm;
pub(crate) mod bell;
pub(crate) mod bus;
pub(crate) mod fabric;
pub(crate) mod fw_cfg;
pub(crate) mod harness;
pub(crate) mod lifecycle;
pub(crate) mod mailbox;
pub(crate) mod profile;
pub(crate) mod seat;
pub(crate) mod serial_port;
pub(crate) mod services;
pub(crate) mod slot;
pub(crate) mod state;
pub(crate) mod vm_clock;
