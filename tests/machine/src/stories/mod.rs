//! What is done with a booted machine, and what is looked for.

pub mod bad_images;
pub mod bad_input;
pub mod button;
pub mod console;
pub mod fairness;
pub mod four_vms;
pub mod guests;
pub mod kernel_log;
pub mod linux;
pub mod load;
pub mod operator;
pub mod processors;
pub mod save;
pub mod textscreen;
