//! Second-level address translation tables (EPT, NPT) and the walk of the guest's own tables.
#![no_std]
#![forbid(unsafe_code)]
