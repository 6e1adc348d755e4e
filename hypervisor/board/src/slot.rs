//! A device as it sits in a VM: behind its lock, on its wires. The only way in.

use crate::alarm::Alarm;
use crate::bus::{self, MmioTarget, PioTarget};
use crate::state::{self, Rejected};
use alloc::vec::Vec;
use device::{Device, MmioDevice, Page, Persist, PioDevice, Refused, Width};
use spin::mutex::{TicketMutex, TicketMutexGuard};
use time::Instant;

/// Carries outward what a device has to say: level, messages, bytes, requests. The only place where it leaves.
pub trait Harness<D>: Send + Sync {
    /// Asks the device and passes on; called after every access, with the device's lock held. A
    /// region that it moves is moved before the guest goes on, but not by a read of a port: there
    /// it waits for the next write.
    fn after(&self, device: &mut D);

    /// The lines of its own that its interrupts go to, for the operator.
    fn lines(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Asks the device for what of its state is here, too; called when that was replaced, before `after`.
    fn restored(&self, _device: &mut D) {}
}

/// A device that says nothing by itself.
pub struct Silent;

impl<D> Harness<D> for Silent {
    fn after(&self, _device: &mut D) {}
}

/// A device with its harness. Lock order: device slot, then PIC or IOAPIC; mailboxes and bells have no lock.
///
/// The lock is taken in turn: the CPU that advances the devices may be home to other VMs, and must not lose a race against vCPUs
/// that do nothing but touch this one.
pub struct Slot<D, W> {
    name: &'static str,
    device: TicketMutex<D>,
    harness: W,
    alarm: Alarm,
    /// Number of times that the lock was not free.
    #[cfg(test)]
    contended: core::sync::atomic::AtomicU32,
}

impl<D: Device, W: Harness<D>> Slot<D, W> {
    /// A device behind its lock.
    pub fn new(name: &'static str, device: D, harness: W, alarm: Alarm) -> Self {
        Self {
            name,
            device: TicketMutex::new(device),
            harness,
            alarm,
            #[cfg(test)]
            contended: core::sync::atomic::AtomicU32::new(0),
        }
    }

    /// Takes the lock.
    #[inline]
    fn lock(&self) -> TicketMutexGuard<'_, D> {
        #[cfg(test)]
        {
            if let Some(device) = self.device.try_lock() {
                return device;
            }
            self.contended
                .fetch_add(1, core::sync::atomic::Ordering::SeqCst);
        }
        self.device.lock()
    }

    /// Returns how often the lock was not free.
    #[cfg(test)]
    pub(crate) fn contended(&self) -> u32 {
        self.contended.load(core::sync::atomic::Ordering::SeqCst)
    }

    /// Returns the harness, which carries its words outward.
    pub fn harness(&self) -> &W {
        &self.harness
    }

    /// Brings the device to now, works on it, and carries outward what follows.
    pub fn with<R>(&self, work: impl FnOnce(&mut D) -> R) -> R {
        let mut device = self.lock();
        device.advance(self.alarm.now());
        let result = work(&mut device);
        self.harness.after(&mut device);
        self.alarm.set(device.deadline());
        result
    }

    /// As [`Self::with`], again and again from where the last time ended, until `len_bytes` are done or `work` refuses. Returns how
    /// many bytes are done. The device is locked and brought to now once; the harness is asked each time.
    fn with_many(
        &self,
        len_bytes: usize,
        mut work: impl FnMut(&mut D, usize) -> Option<usize>,
    ) -> usize {
        let mut device = self.lock();
        device.advance(self.alarm.now());
        let mut done = 0;
        while done < len_bytes {
            let Some(bytes) = work(&mut device, done) else {
                break;
            };
            // A device that moves nothing must not hold us.
            done += bytes.max(1);
            self.harness.after(&mut device);
        }
        self.alarm.set(device.deadline());
        done.min(len_bytes)
    }
}

impl<D: PioDevice, W: Harness<D>> PioTarget for Slot<D, W> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, at: u16, width: Width) -> Result<u32, Refused> {
        self.with(|device| device.read(at, width))
    }

    fn write(&self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        self.with(|device| device.write(at, width, value))
    }

    fn string_limit(&self) -> u64 {
        if D::moves_strings() {
            bus::MANY_ELEMENTS
        } else {
            bus::FEW_ELEMENTS
        }
    }

    fn read_many(&self, at: u16, width: Width, into: &mut [u8]) -> usize {
        self.with_many(into.len(), |device, done| {
            device.read_many(at, width, into.get_mut(done..)?).ok()
        })
    }

    fn write_many(&self, at: u16, width: Width, from: &[u8]) -> usize {
        self.with_many(from.len(), |device, done| {
            device.write_many(at, width, from.get(done..)?).ok()
        })
    }
}

impl<D: MmioDevice, W: Harness<D>> MmioTarget for Slot<D, W> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read(&self, at: u64, width: Width) -> Result<u64, Refused> {
        self.with(|device| device.read(at, width))
    }

    fn write(&self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        self.with(|device| device.write(at, width, value))
    }
}

/// Operations of the CPU loop, a reset and the operator on any slot.
pub trait AnySlot: Send + Sync {
    /// The name the board gave it.
    fn name(&self) -> &'static str;
    /// When its device wants to be advanced.
    fn due(&self) -> Option<Instant>;
    /// Advances it and carries outward what follows.
    fn advance(&self);
    /// Back to power-on.
    fn reset(&self);
    /// The version of what [`AnySlot::save`] gives.
    fn state_version(&self) -> u32;
    /// The state of its device as of now.
    fn save(&self) -> Vec<u8>;
    /// Replaces the state of its device as of now by what [`AnySlot::save`] gave, and carries outward
    /// what follows.
    ///
    /// # Errors
    /// [`Rejected`]; nothing has changed then.
    fn restore(&self, version: u32, bytes: &[u8]) -> Result<(), Rejected>;
    /// Writes what an operator wants to see.
    fn inspect(&self, page: &mut Page<'_>);
    /// The lines of its own that its interrupts go to, for the operator.
    fn lines(&self) -> Vec<u8>;
}

impl<D, W> AnySlot for Slot<D, W>
where
    D: Persist,
    W: Harness<D>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn due(&self) -> Option<Instant> {
        self.alarm.at()
    }

    fn advance(&self) {
        self.with(|_| ());
    }

    fn reset(&self) {
        self.with(Device::reset);
    }

    fn state_version(&self) -> u32 {
        state::version::<D>()
    }

    fn save(&self) -> Vec<u8> {
        self.with(|device| device::encode(&device.state()))
    }

    fn restore(&self, version: u32, bytes: &[u8]) -> Result<(), Rejected> {
        let mut device = self.lock();
        device.advance(self.alarm.now());
        state::restore(&mut *device, version, bytes)?;
        self.harness.restored(&mut device);
        self.harness.after(&mut device);
        self.alarm.set(device.deadline());
        Ok(())
    }

    fn inspect(&self, page: &mut Page<'_>) {
        self.with(|device| device.inspect(page));
    }

    fn lines(&self) -> Vec<u8> {
        self.harness.lines()
    }
}
