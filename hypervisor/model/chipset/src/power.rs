//! Requests of a guest to its machine's power supply.

use serde::{Deserialize, Serialize};

/// The guest wants to be off, or to start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerRequest {
    /// Soft off, ACPI's S5.
    Off,
    /// A reset of the whole VM.
    Reset,
}
