//! The buses as a vCPU knows them: a table of its own, renewed when another one takes its place.

use crate::vcpu::VirtualCpu;
use host::Host;

impl<H: Host> VirtualCpu<H> {
    /// Takes the newest table of the bus, and says so.
    pub(crate) fn renew_bus(&mut self) {
        let bus = self.vm.board().bus();
        let generation = bus.generation();
        if generation != self.bus_generation {
            bus.copy_table_to(&mut self.bus);
            self.bus_generation = generation;
            self.mailbox().note_table(generation);
        }
    }

    /// Carries out what a device that the guest has just touched wants to be changed of the bus.
    #[inline]
    pub(crate) fn settle_bus(&mut self) {
        if self.vm.board().bus().is_pending() {
            self.commit_bus();
        }
    }

    #[cold]
    fn commit_bus(&mut self) {
        let vm = self.vm.clone();
        let own = Some(self.id);
        let bus = vm.board().bus();
        bus.commit(vm.cpus().mailboxes(), own, || self.renew_bus());
        self.renew_bus();
    }
}
