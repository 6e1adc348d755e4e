//! Who operates the machine.

pub(crate) mod allowance;
pub(crate) mod chores;
pub(crate) mod console;
pub(crate) mod display;
pub(crate) mod lines;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod typing;
pub(crate) mod view;
