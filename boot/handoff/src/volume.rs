//! The volume the loader came from.

use crate::PhysRange;

/// Identity of the boot volume, to find it again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootVolume {
    /// The GPT unique partition GUID in its on-disk byte order; all zeros where the volume is not a GPT partition.
    pub partition_guid: [u8; 16],
    /// The UEFI device path as text, in UTF-8; empty where the firmware cannot say it.
    pub device_path: PhysRange,
}

impl BootVolume {
    /// The GPT partition GUID, if the volume is a GPT partition.
    #[must_use]
    pub fn guid(&self) -> Option<[u8; 16]> {
        (self.partition_guid != [0; 16]).then_some(self.partition_guid)
    }
}
