//! The operator's shell: a small prompt behind the escape key.

mod help;
mod line;
mod outbox;
mod pages;

use crate::Operator;
use crate::command::{self, Command, Kind, Page, Reply};
use crate::console::{Console, FULL_BYTES};
use crate::focus::Focus;
use crate::render::render;
use alloc::string::String;
use alloc::vec::Vec;
use host::Host;
use line::{Entered, Line, Names};
use outbox::SharedOutbox;
use pages::{OpenPage, Pager, Rates};
use terminal::{Key, Keys, Press};
use time::Instant;

/// The shell.
pub(crate) struct Shell<H: Host> {
    operator: &'static Operator<H>,
    console: &'static Console<H>,
    line: Option<Line>,
    keys: Keys,
    /// When the last byte was typed.
    typed_at: Instant,
    outbox: SharedOutbox,
    /// The page that fills the terminal instead of the prompt.
    page: Option<OpenPage>,
    /// The VM that had the console before, and whether by its screen.
    back_to: Focus,
}

/// Something that a command asks of the session.
enum Request {
    Attach(Focus),
    Show(OpenPage),
}

impl<H: Host> Names for &'static Operator<H> {
    fn candidates(&self, kind: Kind, before: &str) -> Vec<String> {
        match kind {
            Kind::Vm => {
                let vms = self.hypervisor.vms();
                vms.iter().map(|vm| vm.name().into()).collect()
            }
            Kind::Spec => {
                let specs = self.hypervisor.config().vms.iter();
                specs.map(|spec| spec.name.clone()).collect()
            }
            Kind::View => [Kind::SERIAL, Kind::SCREEN].map(String::from).into(),
            Kind::Part => {
                let vm = self.hypervisor.find(before);
                vm.map_or(Vec::new(), |vm| command::parts(&vm))
            }
            Kind::NewName | Kind::Number => Vec::new(),
        }
    }
}

impl<H: Host> Shell<H> {
    pub(crate) fn new(operator: &'static Operator<H>, console: &'static Console<H>) -> Self {
        Self {
            operator,
            console,
            line: None,
            keys: Keys::default(),
            typed_at: Instant::default(),
            outbox: SharedOutbox::default(),
            page: None,
            back_to: Focus::Serial(0),
        }
    }

    /// Takes the console from the VM that has it.
    pub(crate) fn open(&mut self) {
        let console = self.console;
        let focus = console.focus();
        if focus != Focus::Shell {
            self.back_to = focus;
        }
        match focus.vm().and_then(|id| self.operator.outputs.of(id)) {
            Some(output) => output.view.leave(console),
            None => console.set_focus(Focus::Shell),
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
        let first = || {
            let vms = self.operator.hypervisor.vms();
            vms.first().map(|vm| Focus::Serial(vm.id()))
        };
        match self.way_back().or_else(first) {
            Some(to) => self.attach(to),
            None => {
                self.say("\nthere is no VM to go back to; `create` makes one\n");
                self.show_line();
            }
        }
    }

    /// Returns the focus before the shell, if its VM is still there.
    fn way_back(&self) -> Option<Focus> {
        let vm = self.back_to.vm()?;
        self.operator.hypervisor.by_id(vm).map(|_| self.back_to)
    }

    fn attach(&mut self, to: Focus) {
        // What does not get out now would come in the middle of the VM's output.
        self.pump();
        self.outbox.lock().clear();
        let output = to.vm().and_then(|id| self.operator.outputs.of(id));
        if let Some(output) = output {
            match to {
                Focus::Shell => {}
                Focus::Serial(_) => output.view.attach(self.console),
                Focus::Screen(_) => output.view.attach_screen(self.console),
            }
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

    /// Takes a byte that was typed.
    pub(crate) fn byte(&mut self, byte: u8, now: Instant) {
        self.note_pause(now);
        self.typed_at = now;
        if let Some(press) = self.keys.take(byte) {
            self.press(press);
        }
    }

    /// Takes an Esc for the key after a while of silence.
    fn note_pause(&mut self, now: Instant) {
        if now.since_ns(self.typed_at) >= Keys::PAUSE_NS
            && let Some(press) = self.keys.pause()
        {
            self.press(press);
        }
    }

    fn press(&mut self, press: Press) {
        // What is held beside a key makes no difference here; a symbol with Alt is not that symbol.
        if press.alt && matches!(press.key, Key::Symbol(_)) {
            return;
        }
        let key = press.key;
        if let Some(page) = &mut self.page {
            if !page.key(key) {
                self.end_page();
                self.show_line();
            }
            return;
        }
        if key == Key::PageUp {
            return self.page_back();
        } else if key == Key::Control('t') {
            return self.toggle();
        } else if key == Key::Control('c') {
            // Stops a long answer.
            self.outbox.lock().clear();
        }
        let Some(line) = &mut self.line else {
            return;
        };
        if let Some(entered) = line.key(key, &self.operator) {
            self.enter(&entered);
        }
    }

    /// Answers a line.
    fn enter(&mut self, entered: &Entered) {
        let Entered {
            name,
            words,
            has_options,
            asks_help,
        } = entered;
        let parsed = if name.is_empty() {
            None
        } else if name == help::HELP || *asks_help {
            let about = match name.as_str() {
                help::HELP if *has_options => Some(help::HELP),
                help::HELP => words.first().map(String::as_str),
                name => Some(name),
            };
            // Writing to the outbox cannot fail, here and below.
            let _ = help::help(about, &mut *self.outbox.lock());
            None
        } else {
            match command::parse(name, words, *has_options) {
                Ok(command) => Some(command),
                Err(mistake) => {
                    let _ = help::explain(name, &mistake, &mut *self.outbox.lock());
                    None
                }
            }
        };
        let request = parsed.and_then(|command| self.carry_out(command));
        if let Some(line) = &self.line {
            line.prompt();
        }
        match request {
            Some(Request::Show(page)) => self.show_page(page),
            Some(Request::Attach(to)) => self.attach(to),
            None => {}
        }
    }

    /// Carries a command out and answers it. Returns what follows behind the prompt.
    fn carry_out(&mut self, command: Command) -> Option<Request> {
        match self.operator.execute(command) {
            Reply::Page(page) => self.page(page).map(Request::Show),
            Reply::Attach { name, view } => {
                let vm = self.operator.hypervisor.find(&name)?;
                let to = match view {
                    None if self.back_to.vm() == Some(vm.id()) => self.back_to,
                    None => Focus::on(vm.id(), vm.spec().console),
                    Some(view) => Focus::on(vm.id(), view),
                };
                Some(Request::Attach(to))
            }
            reply @ (Reply::Vms(_)
            | Reply::Host(_)
            | Reply::Devices(_)
            | Reply::Inspection(_)
            | Reply::Log(_)
            | Reply::Scrollback(_)
            | Reply::Done(_)
            | Reply::Refused(_)) => {
                let _ = render(&reply, &mut *self.outbox.lock());
                None
            }
        }
    }

    fn page(&self, page: Page) -> Option<OpenPage> {
        Some(match page {
            Page::Top => OpenPage::Top(Rates::new(self.operator)),
            Page::Exits { name } => OpenPage::Exits(name, Rates::new(self.operator)),
            Page::Scrollback { name } => {
                let vm = self.operator.hypervisor.find(&name)?;
                OpenPage::Text(self.pager(vm.id())?)
            }
        })
    }

    /// Returns a pager over what a VM has printed.
    fn pager(&self, id: usize) -> Option<Pager> {
        let output = self.operator.outputs.of(id)?;
        Some(Pager::new(output.view.name().into(), output.view.text()))
    }

    /// Pages through what the VM has printed that had the console before.
    fn page_back(&mut self) {
        if let Some(pager) = self.back_to.vm().and_then(|id| self.pager(id)) {
            self.show_page(OpenPage::Text(pager));
        }
    }

    /// Goes back to the VM, to its other view.
    fn toggle(&mut self) {
        if let Some(back) = self.way_back() {
            self.attach(back.toggled());
        }
    }

    fn show_page(&mut self, page: OpenPage) {
        self.outbox.lock().write(b"\x1b[2J");
        self.page = Some(page);
    }

    fn end_page(&mut self) {
        if self.page.take().is_none() {
            return;
        }
        self.outbox.lock().write(b"\r\n");
        let held_back = self.console.set_picture(false);
        if held_back != 0 {
            let text =
                alloc::format!("[{held_back} lines came meanwhile: `log` has the hypervisor's]\n");
            self.say(&text);
        }
    }

    /// Does what time brings: tables that change, answers that wait for room.
    pub(crate) fn keep(&mut self, now: Instant) {
        if self.console.focus() != Focus::Shell {
            return;
        }
        self.note_pause(now);
        if let Some(page) = &mut self.page
            && self.outbox.lock().is_small()
            && let Some(text) = page.refresh(self.operator, now)
        {
            self.console.set_picture(true);
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
        let console = self.console;
        // Beyond what guests may fill.
        let room = (2 * FULL_BYTES).saturating_sub(console.waiting());
        let bytes = self.outbox.lock().take(room);
        if !bytes.is_empty() {
            console.write(&bytes);
        }
    }

    /// Passes all of it on, until `end` at most: before the machine is left.
    pub(crate) fn drain(&self, end: Instant) {
        while !self.outbox.lock().is_empty() && self.operator.host.now() < end {
            self.pump();
            self.console.flush();
        }
    }

    /// Returns whether answers wait for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.console.focus() == Focus::Shell && !self.outbox.lock().is_empty()
    }
}
