//! Physical CPUs: what each does for the rest of its life.

pub(crate) mod home;
pub(crate) mod inbox;
pub(crate) mod load;
pub(crate) mod run;
