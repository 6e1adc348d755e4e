//! Changes of the bus while the VM runs.

use super::{BusTable, MmioTarget, Overlap, PioTarget};
use crate::mailbox::Mailbox;
use addr::GpaRange;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use spin::Mutex;

/// Place that a region wants, and the device that answers there.
enum Wish {
    Ports(Option<RangeInclusive<u16>>, Arc<dyn PioTarget>),
    Memory(Option<GpaRange>, Arc<dyn MmioTarget>),
}

/// The buses of one VM: devices at fixed places, and regions that come and go.
pub struct Bus {
    /// Devices at fixed places; complete before the VM runs.
    fixed: Mutex<BusTable>,
    /// Leaf lock; a device's harness takes it.
    wishes: Mutex<Vec<Wish>>,
    /// [`STALE`] and [`CHANGING`]. It is zero only when every wish is carried out.
    pending: AtomicU8,
    /// Counts the tables.
    generation: AtomicU64,
    /// The newest table. Leaf lock, held while it is made or copied.
    table: Mutex<BusTable>,
}

/// A wish has changed since a table was made of them.
const STALE: u8 = 1 << 0;
/// Somebody carries wishes out: one at a time.
const CHANGING: u8 = 1 << 1;

/// A stretch of ports or memory that a device answers for, where its guest puts it.
///
/// A region that is mapped where RAM, a device at a fixed place or an earlier region is does not
/// answer there.
pub struct Region {
    /// Weak: the device that moves it is on this bus.
    bus: Weak<Bus>,
    index: usize,
}

impl Bus {
    /// An empty bus. RAM is no concern of it: an access to RAM never comes here, whatever region
    /// lies over it.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            fixed: Mutex::default(),
            wishes: Mutex::default(),
            pending: AtomicU8::new(0),
            generation: AtomicU64::new(0),
            table: Mutex::default(),
        }
    }

    /// Adds a device at a fixed place. Before the VM runs.
    ///
    /// # Errors
    /// Those of `claim`.
    pub(crate) fn claim(
        &self,
        claim: impl FnOnce(&mut BusTable) -> Result<(), Overlap>,
    ) -> Result<(), Overlap> {
        claim(&mut self.fixed.lock())
    }

    /// Returns a copy of the newest table.
    #[must_use]
    pub fn table(&self) -> BusTable {
        self.table.lock().clone()
    }

    /// Copies the newest table to `table`; allocates nothing where that has been one before, or
    /// [`Bus::empty_table`].
    pub fn copy_table_to(&self, table: &mut BusTable) {
        table.clone_from(&self.table.lock());
    }

    /// Returns a table with room for every device and region.
    #[must_use]
    pub fn empty_table(&self) -> BusTable {
        BusTable::with_room(&self.fixed.lock(), self.wishes.lock().len())
    }

    /// Returns the number of the newest table. It is read before the table is.
    #[must_use]
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Returns whether a device has moved a region and that is not carried out yet. After a device
    /// of the caller's has, this is false only when it is.
    #[must_use]
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// A new region of ports.
    pub(crate) fn port_region(self: &Arc<Self>, target: Arc<dyn PioTarget>) -> Region {
        self.region(Wish::Ports(None, target))
    }

    /// A new region of memory.
    pub(crate) fn memory_region(self: &Arc<Self>, target: Arc<dyn MmioTarget>) -> Region {
        self.region(Wish::Memory(None, target))
    }

    fn region(self: &Arc<Self>, wish: Wish) -> Region {
        let mut wishes = self.wishes.lock();
        wishes.push(wish);
        Region {
            bus: Arc::downgrade(self),
            index: wishes.len() - 1,
        }
    }

    /// Carries out what regions have asked for. When it returns, no access of any vCPU meets a
    /// region at its old place: those under way have ended there.
    ///
    /// Called by a vCPU's exit, after the slot that left the wish is unlocked and before the guest
    /// goes on. `mailboxes` are those of all vCPUs, `own` the number of the one that calls, if a
    /// vCPU does. `meanwhile` is called again and again while others are waited for, and reads the
    /// caller's own mail about tables: so two that change at once do not wait for each other.
    ///
    /// Why no vCPU reads an old table afterwards:
    /// 1. A vCPU reads its table only between [`Mailbox::set_running`] with true and with false, and
    ///    looks for a new one right behind the first, and whenever its mail says so.
    /// 2. The new generation is stored before `is_running` is read here; a vCPU that comes stores
    ///    `is_running` before it reads the generation. All four are sequentially consistent, so
    ///    either it is seen running here, and told and waited for, or it takes the new table.
    /// 3. One that runs the guest is kicked, reads its mail before the next entry, takes the new
    ///    table and says so ([`Mailbox::note_table`]). One that answers an exit does so after it.
    ///    Either is bounded: no exit takes long, and nobody is waited for with a slot locked.
    /// 4. One that stops running while it is waited for needs to say nothing, by 1.
    pub fn commit(
        &self,
        mailboxes: &[Arc<Mailbox>],
        own: Option<usize>,
        mut meanwhile: impl FnMut(),
    ) {
        while self.is_pending() {
            if self.pending.fetch_or(CHANGING, Ordering::SeqCst) & CHANGING != 0 {
                meanwhile();
                core::hint::spin_loop();
                continue;
            }
            // Whoever leaves a wish waits for it here, so there are no more of them than vCPUs.
            while self.pending.fetch_and(!STALE, Ordering::SeqCst) & STALE != 0
                || !self.try_end_change()
            {
                let generation = self.publish();
                let others = mailboxes.iter().enumerate();
                let others = others.filter(|(id, _)| Some(*id) != own);
                let others = others.map(|(_, other)| other);
                for other in others.clone() {
                    other.tell_table();
                }
                for other in others {
                    while other.may_read_before(generation) {
                        meanwhile();
                        core::hint::spin_loop();
                    }
                }
            }
        }
    }

    /// Ends the change, unless another wish came.
    fn try_end_change(&self) -> bool {
        self.pending
            .compare_exchange(CHANGING, 0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Makes a table of what is wished, in place of the newest one; returns its generation.
    fn publish(&self) -> u64 {
        let mut table = self.table.lock();
        table.clone_from(&self.fixed.lock());
        for wish in self.wishes.lock().iter() {
            match wish {
                Wish::Ports(Some(ports), target) => table.pio.fill(ports.clone(), target),
                Wish::Memory(Some(range), target) => table.mmio.fill(*range, target),
                Wish::Ports(None, _) | Wish::Memory(None, _) => {}
            }
        }
        // A vCPU reads the generation first and the table then: it may find a newer table than that
        // says, never an older one.
        self.generation.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Makes room in the newest table for every device and region, so that no change allocates.
    /// Before the VM runs.
    pub(crate) fn seal(&self) {
        let room = self.empty_table();
        *self.table.lock() = room;
        self.publish();
    }
}

impl Region {
    /// Maps these ports, instead of where the region was.
    pub(crate) fn map_ports(&self, ports: RangeInclusive<u16>) {
        self.wish(Some(ports), None);
    }

    /// Maps this range of memory, instead of where the region was.
    pub(crate) fn map(&self, range: GpaRange) {
        self.wish(None, Some(range));
    }

    /// Unmaps the region.
    pub(crate) fn unmap(&self) {
        self.wish(None, None);
    }

    /// Leaves a wish, which [`Bus::commit`] carries out. Costs a short lock, and nothing more when
    /// nothing changes.
    fn wish(&self, new_ports: Option<RangeInclusive<u16>>, new_range: Option<GpaRange>) {
        let Some(bus) = self.bus.upgrade() else {
            return;
        };
        let mut wishes = bus.wishes.lock();
        let has_changed = match wishes.get_mut(self.index) {
            Some(Wish::Ports(ports, _)) => replace(ports, new_ports),
            Some(Wish::Memory(range, _)) => replace(range, new_range),
            None => false,
        };
        if has_changed {
            bus.pending.fetch_or(STALE, Ordering::SeqCst);
        }
    }
}

fn replace<T: PartialEq>(place: &mut Option<T>, new: Option<T>) -> bool {
    let has_changed = *place != new;
    *place = new;
    has_changed
}
