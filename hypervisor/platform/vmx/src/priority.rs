//! CR8, the task priority class of a vCPU.

use addr::Hpa;
use core::ptr::NonNull;
use host::NoMemory;
use memory::Frames;

/// CR8: in the virtual-APIC page, which the CPU reads and writes, or here, when every access exits.
pub(crate) enum TaskPriority {
    Shadowed(Frames),
    Exiting(u8),
}

/// Where TPR is in the virtual-APIC page; the class is its upper half. (Intel SDM vol. 3C 30.1.1)
const VIRTUAL_TPR: usize = 0x80;

impl TaskPriority {
    /// Class 0.
    pub(crate) fn new(is_shadowed: bool) -> Result<Self, NoMemory> {
        Ok(if is_shadowed {
            Self::Shadowed(Frames::one()?)
        } else {
            Self::Exiting(0)
        })
    }

    /// Where the virtual-APIC page is, if there is one.
    pub(crate) fn page(&self) -> Option<Hpa> {
        match self {
            Self::Shadowed(page) => Some(page.hpa()),
            Self::Exiting(_) => None,
        }
    }

    /// The class, 0 to 15.
    #[inline]
    pub(crate) fn class(&self) -> u8 {
        match self {
            // SAFETY: inside a frame that is ours and lives as long as `self`; the CPU writes it in guest mode only.
            Self::Shadowed(page) => unsafe { register(page).read_volatile() >> 4 },
            Self::Exiting(class) => *class,
        }
    }

    /// Replaces the class, 0 to 15.
    pub(crate) fn set_class(&mut self, class: u8) {
        match self {
            // SAFETY: as in `class`.
            Self::Shadowed(page) => unsafe { register(page).write_volatile(class << 4) },
            Self::Exiting(own) => *own = class & 15,
        }
    }
}

fn register(page: &Frames) -> NonNull<u8> {
    // SAFETY: a frame has 4096 bytes.
    unsafe { page.ptr().add(VIRTUAL_TPR) }
}
