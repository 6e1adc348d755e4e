//! The far ends of each VM's cables, which the operator sees.

use crate::consoles::Consoles;
use crate::lines::LinePrinter;
use crate::reports::Reports;
use crate::view::View;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::{Cables, FarEnds};
use host::Host;
use spin::Mutex;

/// The far ends of one VM's cables.
pub(crate) struct Output<H: Host> {
    vm: usize,
    /// Its serial port.
    pub(crate) view: Arc<View<H>>,
    /// Its debug ports.
    pub(crate) debug_text: Arc<LinePrinter<H>>,
    /// The reports of its kernel.
    pub(crate) events: Arc<Reports>,
}

/// The outputs of all VMs. Its lock is taken by the operator's side only.
pub(crate) struct Outputs<H: Host> {
    consoles: &'static Consoles<H>,
    list: Mutex<Vec<Arc<Output<H>>>>,
}

impl<H: Host> Outputs<H> {
    pub(crate) const fn new(consoles: &'static Consoles<H>) -> Self {
        Self {
            consoles,
            list: Mutex::new(Vec::new()),
        }
    }

    /// Returns the output of VM number `id`.
    pub(crate) fn of(&self, id: usize) -> Option<Arc<Output<H>>> {
        let list = self.list.lock();
        list.iter().find(|output| output.vm == id).cloned()
    }

    /// Lets each VM ask the operator's terminal one more question.
    pub(crate) fn allow_questions(&self) {
        for output in self.list.lock().iter() {
            output.view.allow_question();
        }
    }

    /// Drops the outputs of VMs that are gone.
    pub(crate) fn retain(&self, is_there: impl Fn(usize) -> bool) {
        self.list.lock().retain(|output| is_there(output.vm));
    }
}

impl<H: Host> Cables for Outputs<H> {
    fn connect(&self, id: usize, name: &str) -> FarEnds {
        let output = Arc::new(Output {
            vm: id,
            view: Arc::new(View::new(id, name, self.consoles)),
            debug_text: Arc::new(LinePrinter::new(name, self.consoles)),
            events: Arc::new(Reports::new(name)),
        });
        let far_ends = FarEnds {
            com1: output.view.clone(),
            debug_text: output.debug_text.clone(),
            events: output.events.clone(),
        };
        let mut list = self.list.lock();
        // A VM that could not be assembled leaves its number to the next one.
        list.retain(|other| other.vm != id);
        list.push(output);
        far_ends
    }
}
