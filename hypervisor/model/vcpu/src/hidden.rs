//! Non-architectural vCPU state (interruptibility, pending events).

use crate::Event;
use serde::{Deserialize, Serialize};

/// State of a vCPU between two entries that is neither in [`ArchState`](crate::ArchState) nor in
/// the vector state (interruptibility, pending events).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenState {
    /// Event that waits for the next entry. Software interrupts never do here: their instruction is
    /// executed again.
    pub queued: Option<Event>,
    /// An NMI is being handled: the next one waits for IRET.
    pub is_nmi_blocked: bool,
    /// A single step's #DB strikes before the next instruction.
    pub has_pending_step: bool,
    /// The page-directory pointers that came with CR3, where PAE paging is on and the CPU keeps them. (Intel SDM vol. 3A 4.4.1)
    pub page_directory_pointers: Option<[u64; 4]>,
}

/// A saved state that no vCPU can have had, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadState(pub &'static str);
