//! Tells the operator what guests' kernels report: a panic.

use alloc::string::String;
use board::EventEnd;
use chipset::GuestEvent;
use core::sync::atomic::{AtomicBool, Ordering};

/// Tells the operator of one VM's events: of each kind once in a guest's life.
pub(crate) struct Reports {
    name: String,
    pub(crate) has_panicked: AtomicBool,
    has_loaded: AtomicBool,
    has_shut_down: AtomicBool,
}

impl Reports {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            has_panicked: AtomicBool::new(false),
            has_loaded: AtomicBool::new(false),
            has_shut_down: AtomicBool::new(false),
        }
    }
}

impl EventEnd for Reports {
    fn tell(&self, event: GuestEvent) {
        let name = &self.name;
        let is_first = |told: &AtomicBool| !told.swap(true, Ordering::Relaxed);
        match event {
            GuestEvent::Panicked if is_first(&self.has_panicked) => {
                log::error!(
                    "vm {name}: its kernel has panicked; `scrollback {name}` has its last words"
                );
            }
            GuestEvent::CrashLoaded if is_first(&self.has_loaded) => {
                log::error!("vm {name}: its kernel has panicked and starts its crash kernel");
            }
            GuestEvent::ShutDown if is_first(&self.has_shut_down) => {
                log::info!("vm {name}: its system has shut down");
            }
            GuestEvent::Panicked | GuestEvent::CrashLoaded | GuestEvent::ShutDown => {}
        }
    }

    fn end(&self) {
        for told in [&self.has_panicked, &self.has_loaded, &self.has_shut_down] {
            told.store(false, Ordering::Relaxed);
        }
    }
}
