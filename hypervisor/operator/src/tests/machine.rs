//! A machine with its operator.

use crate::chores::OperatorChores;
use crate::console::Console;
use alloc::boxed::Box;
use alloc::string::String;
use core::ops::{Deref, DerefMut};
use vm_spec::{Config, VmSpec};
use vmm::test_host::{TestHost, TestMachine, spec};

use crate::Operator;

/// A test machine whose first CPU does the operator's chores.
pub(crate) struct TestOperator {
    machine: TestMachine,
    pub(crate) operator: &'static Operator<TestHost>,
}

impl TestOperator {
    /// Makes one CPU and one VM called "vm" with one vCPU.
    pub(crate) fn new() -> Self {
        Self::with(1, [spec("vm", 1)])
    }

    /// Makes a machine with so many CPUs and these VMs, all of them at their kernels' entry.
    pub(crate) fn with<const VMS: usize>(cpus: u32, vms: [VmSpec; VMS]) -> Self {
        let config = Config {
            vms: vms.into(),
            ..Config::default()
        };
        Self::configured(cpus, &config)
    }

    pub(crate) fn configured(cpus: u32, config: &Config) -> Self {
        let mut operator = None;
        let machine = TestMachine::started(cpus, |host, modules| {
            let started = crate::start(host, config, modules);
            operator = Some(started);
            let chores = Box::new(OperatorChores::new(started));
            (started.hypervisor(), Some(chores))
        });
        Self {
            machine,
            operator: operator.expect("it was started"),
        }
    }

    /// Returns the console of the session at the serial port.
    pub(crate) fn serial(&self) -> &'static Console<TestHost> {
        self.session(0)
    }

    /// Returns the console of the session at the screen.
    pub(crate) fn screen(&self) -> &'static Console<TestHost> {
        self.session(1)
    }

    fn session(&self, number: usize) -> &'static Console<TestHost> {
        self.operator
            .consoles
            .iter()
            .nth(number)
            .expect("there are two")
    }

    /// Types at the screen's keyboard and returns what is shown on the screen.
    pub(crate) fn operator_at_screen(&mut self, text: &str) -> String {
        self.host.screen_text();
        self.host.type_at_screen(text);
        while !self.host.screen_typed.lock().is_empty() {
            self.pass_ns(10_000_000);
        }
        self.host.screen_text()
    }

    /// Types at the serial port and returns what is printed there.
    pub(crate) fn operator(&mut self, text: &str) -> String {
        self.host.text();
        self.host.type_text(text);
        while !self.host.typed.lock().is_empty() {
            self.pass_ns(10_000_000);
        }
        self.host.text()
    }
}

impl Deref for TestOperator {
    type Target = TestMachine;

    fn deref(&self) -> &TestMachine {
        &self.machine
    }
}

impl DerefMut for TestOperator {
    fn deref_mut(&mut self) -> &mut TestMachine {
        &mut self.machine
    }
}
