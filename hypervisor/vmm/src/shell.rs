//! The operator's shell: a small prompt behind the escape key.

mod line;
mod orders;
mod pages;
mod tables;

use crate::Hypervisor;
use crate::console::{FULL_BYTES, SHELL};
use crate::lifecycle::VmState;
use crate::vm::Vm;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use device::Instant;
use host::{Host, PowerAction};
use line::{Line, Names, SharedOutbox};
use orders::Order;
use pages::{PAGE_COLUMNS, Page, Pager, Rates};
use terminal::{Key, Keys};
use vm_spec::After;

/// How long a VM may take to heed its power button.
const GRACE_NS: u64 = 30_000_000_000;

/// The shell.
pub(crate) struct Shell<H: Host> {
    hypervisor: &'static Hypervisor<H>,
    line: Option<Line>,
    keys: Keys,
    outbox: SharedOutbox,
    /// What fills the screen instead of the prompt.
    page: Option<Page>,
    /// The VM that had the console before, and whether by its screen.
    back_to: (usize, bool),
}

/// What follows a command, besides its answer.
enum Then<H: Host> {
    Attach(Arc<Vm<H>>, bool),
    Show(Page),
}

impl<H: Host> Names for &'static Hypervisor<H> {
    fn candidates(&self, words: &[&str]) -> Vec<String> {
        let vms = || self.vms().iter().map(|vm| vm.name().into()).collect();
        match words {
            ["help"] => line::commands(),
            ["create"] => {
                let specs = self.config.vms.iter();
                specs.map(|spec| spec.name.clone()).collect()
            }
            ["attach", _] => ["serial", "screen"].map(String::from).into(),
            ["inspect", name] => self.find(name).map_or(Vec::new(), |vm| tables::parts(&vm)),
            ["vms" | "top" | "log" | "host" | "reboot" | "poweroff"] => Vec::new(),
            [_] => vms(),
            _ => Vec::new(),
        }
    }
}

impl<H: Host> Shell<H> {
    pub(crate) fn new(hypervisor: &'static Hypervisor<H>) -> Self {
        Self {
            hypervisor,
            line: None,
            keys: Keys::default(),
            outbox: SharedOutbox::default(),
            page: None,
            back_to: (0, false),
        }
    }

    /// Takes the console from the VM that has it.
    pub(crate) fn open(&mut self) {
        let console = self.hypervisor.console;
        let focus = console.focus();
        if focus != SHELL {
            self.back_to = (focus, console.is_screen());
        }
        match self.hypervisor.by_id(focus) {
            Some(vm) => vm.board.view.leave(),
            None => console.set_focus(SHELL, false),
        }
        self.keys = Keys::default();
        self.say("\nCaisson operator's shell: `help` lists the commands, Ctrl-] goes back.\n");
        match &mut self.line {
            // A line that is kept keeps its history.
            Some(line) => line.show(),
            None => self.line = Line::new(&self.outbox),
        }
    }

    /// Gives the console back.
    pub(crate) fn close(&mut self) {
        self.end_page();
        let (id, is_screen) = self.back_to;
        let found = self.hypervisor.by_id(id).map(|vm| (vm, is_screen));
        let first = || self.hypervisor.vms().into_iter().next();
        match found.or_else(|| first().map(|vm| (vm, false))) {
            Some((vm, is_screen)) => self.attach(&vm, is_screen),
            None => {
                self.say("\nthere is no VM to go back to; `create` makes one\n");
                self.show_line();
            }
        }
    }

    fn attach(&mut self, vm: &Vm<H>, is_screen: bool) {
        // What does not get out now would come in the middle of the VM's output.
        self.pump();
        self.outbox.lock().clear();
        if is_screen {
            vm.board.view.attach_screen();
        } else {
            vm.board.view.attach();
        }
    }

    fn say(&self, text: &str) {
        self.outbox.lock().write_text(text);
    }

    fn show_line(&mut self) {
        if let Some(line) = &mut self.line {
            line.show();
        }
    }

    /// One byte typed by the operator.
    pub(crate) fn byte(&mut self, byte: u8) {
        let Some(key) = self.keys.take(byte) else {
            return;
        };
        if let Some(page) = &mut self.page {
            if !page.key(key) {
                self.end_page();
                self.show_line();
            }
            return;
        }
        match key {
            // Stops a long answer.
            Key::Control('c') => self.outbox.lock().clear(),
            Key::PageUp => return self.page_back(),
            Key::Control('t') => return self.toggle(),
            _ => {}
        }
        let Some(mut line) = self.line.take() else {
            return;
        };
        let mut then = None;
        let shell = &*self;
        line.key(key, &shell.hypervisor, |order| {
            let mut answer = String::new();
            // Writing to a string cannot fail.
            let _ = shell.carry_out(order, &mut answer, &mut then);
            answer
        });
        self.line = Some(line);
        match then {
            Some(Then::Attach(vm, is_screen)) => self.attach(&vm, is_screen),
            Some(Then::Show(page)) => self.show_page(page),
            None => {}
        }
    }

    /// Pages through what the VM has printed that had the console before.
    fn page_back(&mut self) {
        if let Some(vm) = self.hypervisor.by_id(self.back_to.0) {
            let pager = Pager::new(vm.name().into(), vm.board.view.text(PAGE_COLUMNS));
            self.show_page(Page::Text(pager));
        }
    }

    /// Goes back to the VM, to its other view.
    fn toggle(&mut self) {
        if let Some(vm) = self.hypervisor.by_id(self.back_to.0) {
            self.attach(&vm, !self.back_to.1);
        }
    }

    fn show_page(&mut self, page: Page) {
        self.outbox.lock().write(b"\x1b[2J");
        self.page = Some(page);
    }

    fn end_page(&mut self) {
        if self.page.take().is_none() {
            return;
        }
        self.outbox.lock().write(b"\r\n");
        let held_back = self.hypervisor.console.set_picture(false);
        if held_back != 0 {
            let text =
                alloc::format!("[{held_back} lines came meanwhile: `log` has the hypervisor's]\n");
            self.say(&text);
        }
    }

    /// Does what time brings: tables that change, answers that wait for room.
    pub(crate) fn keep(&mut self, now: Instant) {
        if self.hypervisor.console.focus() != SHELL {
            return;
        }
        if let Some(page) = &mut self.page
            && self.outbox.lock().is_small()
            && let Some(text) = page.refresh(self.hypervisor, now)
        {
            self.hypervisor.console.set_picture(true);
            let mut outbox = self.outbox.lock();
            outbox.write(b"\x1b[H");
            for line in text.lines() {
                outbox.write(line.as_bytes());
                outbox.write(b"\x1b[K\r\n");
            }
            outbox.write(b"\x1b[J");
        }
        self.pump();
    }

    /// Passes on what the shell has to say as far as there is room.
    fn pump(&self) {
        let console = self.hypervisor.console;
        // Beyond what guests may fill.
        let room = (2 * FULL_BYTES).saturating_sub(console.waiting());
        let bytes = self.outbox.lock().take(room);
        if !bytes.is_empty() {
            console.write(&bytes);
        }
    }

    /// Whether answers wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.hypervisor.console.focus() == SHELL && !self.outbox.lock().is_empty()
    }

    fn carry_out(
        &self,
        order: &Order<'_>,
        out: &mut String,
        then: &mut Option<Then<H>>,
    ) -> fmt::Result {
        let hypervisor = self.hypervisor;
        match *order {
            Order::Vms => tables::vms(hypervisor, out),
            Order::Top => {
                *then = Some(Then::Show(Page::Top(Rates::new(hypervisor))));
                Ok(())
            }
            Order::Exits { name } => {
                if let Some(name) = name
                    && self.find(name, out)?.is_none()
                {
                    return Ok(());
                }
                let rates = Rates::new(hypervisor);
                *then = Some(Then::Show(Page::Exits(name.map(String::from), rates)));
                Ok(())
            }
            Order::Create { spec, name } => match hypervisor.create(spec, name) {
                Ok(vm) => writeln!(out, "{0} is there; `start {0}` starts it", vm.name()),
                Err(error) => writeln!(out, "{error}"),
            },
            Order::Copy { name, new } => match hypervisor.copy(name, new) {
                Ok(_) => writeln!(
                    out,
                    "{new} becomes a copy of {name}; leave that paused meanwhile"
                ),
                Err(error) => writeln!(out, "{error}"),
            },
            Order::Destroy { name } => match hypervisor.destroy(name) {
                Ok(()) => writeln!(out, "{name} is gone"),
                Err(crate::DestroyError::NoVm) => no_vm(name, out),
                Err(error) => writeln!(out, "{name}: {error}"),
            },
            Order::Log => hypervisor.host.log_tail(out),
            Order::Host => tables::host(hypervisor, out),
            Order::Reboot => {
                self.farewell("resetting the machine");
                hypervisor.host.power(PowerAction::Reset)
            }
            Order::Poweroff => {
                self.farewell("powering off");
                hypervisor.host.power(PowerAction::Off)
            }
            Order::Attach { name, .. }
            | Order::Scrollback { name, .. }
            | Order::Start { name }
            | Order::Stop { name }
            | Order::Kill { name }
            | Order::Button { name }
            | Order::Reset { name }
            | Order::Pause { name }
            | Order::Resume { name }
            | Order::Info { name }
            | Order::Devices { name }
            | Order::SetWeight { name, .. }
            | Order::SetCap { name, .. }
            | Order::Inspect { name, .. } => match self.find(name, out)? {
                Some(vm) => self.carry_out_on(&vm, order, out, then),
                None => Ok(()),
            },
        }
    }

    /// What is said to one VM.
    fn carry_out_on(
        &self,
        vm: &Arc<Vm<H>>,
        order: &Order<'_>,
        out: &mut String,
        then: &mut Option<Then<H>>,
    ) -> fmt::Result {
        let name = vm.name();
        match *order {
            Order::Attach { view, .. } => {
                let is_screen = match view {
                    None if self.back_to.0 == vm.id() => self.back_to.1,
                    None => vm.spec.console == vm_spec::GuestConsole::Screen,
                    Some("serial") => false,
                    Some("screen") => true,
                    Some(other) => {
                        return writeln!(out, "there is no view {other:?}: `serial` or `screen`");
                    }
                };
                *then = Some(Then::Attach(vm.clone(), is_screen));
                Ok(())
            }
            Order::Scrollback { lines, .. } => {
                let text = vm.board.view.text(PAGE_COLUMNS);
                let Some(count) = lines else {
                    *then = Some(Then::Show(Page::Text(Pager::new(name.into(), text))));
                    return Ok(());
                };
                let lines: Vec<&str> = text.lines().collect();
                let first = lines.len().saturating_sub(count as usize);
                for line in lines.iter().skip(first) {
                    writeln!(out, "{line}")?;
                }
                Ok(())
            }
            Order::Start { .. } if vm.start() => writeln!(out, "{name} starts"),
            Order::Start { .. } => writeln!(out, "{name} is not stopped"),
            Order::Stop { .. } => self.stop(vm, out),
            Order::Kill { .. } if vm.kill() => writeln!(out, "{name} stops"),
            Order::Kill { .. } => writeln!(out, "{name} is not running"),
            Order::Button { .. } => {
                vm.board.press_power_button();
                writeln!(out, "{name}: power button pressed")
            }
            Order::Reset { .. } if vm.end(After::Restart) => writeln!(out, "{name} restarts"),
            Order::Reset { .. } if vm.start() => writeln!(out, "{name} starts"),
            Order::Pause { .. } if vm.pause() => {
                writeln!(out, "{name} pauses; `resume {name}` lets it go on")
            }
            Order::Resume { .. } if vm.resume() => writeln!(out, "{name} goes on"),
            Order::Resume { .. } => writeln!(out, "{name} is not paused"),
            Order::Pause { .. } => writeln!(out, "{name} is not running"),
            Order::Reset { .. } => writeln!(out, "{name} is not running"),
            Order::SetWeight { weight, .. } if !(1..=vm_spec::MAX_WEIGHT).contains(&weight) => {
                writeln!(out, "a weight is from 1 to {}", vm_spec::MAX_WEIGHT)
            }
            Order::SetWeight { weight, .. } => {
                vm.set_weight(weight);
                writeln!(out, "{name} has weight {weight}")
            }
            Order::SetCap { percent: 0, .. } => {
                vm.set_cap(None);
                writeln!(out, "{name} has no cap")
            }
            Order::SetCap { percent, .. } => {
                vm.set_cap(Some(percent));
                writeln!(out, "{name} may use {percent} % of one CPU at most")
            }
            Order::Info { .. } => vm.inspect(out),
            Order::Devices { .. } => tables::devices(vm, out),
            Order::Inspect { part: None, .. } => vm.inspect(out),
            Order::Inspect {
                part: Some(part), ..
            } => {
                if !tables::part(vm, part, out)? {
                    writeln!(
                        out,
                        "{name} has no {part:?}; it has {}",
                        tables::parts(vm).join(", ")
                    )?;
                }
                Ok(())
            }
            // Those that name no VM.
            Order::Vms
            | Order::Top
            | Order::Exits { .. }
            | Order::Create { .. }
            | Order::Copy { .. }
            | Order::Destroy { .. }
            | Order::Log
            | Order::Host
            | Order::Reboot
            | Order::Poweroff => Ok(()),
        }
    }

    fn stop(&self, vm: &Vm<H>, out: &mut String) -> fmt::Result {
        let name = vm.name();
        let is_on = matches!(
            vm.lifecycle().state(),
            VmState::Running | VmState::Pausing | VmState::Paused
        );
        if is_on && vm.board.heeds_power_button() && vm.stop_gently(GRACE_NS) {
            return writeln!(
                out,
                "{name}: power button pressed; stopped hard if it is not down in {} s",
                GRACE_NS / 1_000_000_000
            );
        }
        if vm.kill() {
            writeln!(
                out,
                "{name} stops at once: its system does not listen to a power button"
            )
        } else {
            writeln!(out, "{name} is not running")
        }
    }

    fn farewell(&self, what: &str) {
        let console = self.hypervisor.console;
        let end = self.hypervisor.host.now().after_ns(GRACE_NS / 10);
        while !self.outbox.lock().is_empty() && self.hypervisor.host.now() < end {
            self.pump();
            console.flush();
        }
        console.write(what.as_bytes());
        console.write(b"\r\n");
        console.drain();
    }

    fn find(&self, name: &str, out: &mut String) -> Result<Option<Arc<Vm<H>>>, fmt::Error> {
        let found = self.hypervisor.find(name);
        if found.is_none() {
            no_vm(name, out)?;
        }
        Ok(found)
    }
}

fn no_vm(name: &str, out: &mut String) -> fmt::Result {
    writeln!(out, "there is no VM {name:?}; `vms` lists them")
}
