//! Completion: each argument becomes what its kind says.

use super::console::ESCAPE;
use crate::tests::machine::TestOperator;
use std::format;
use std::string::String;
use vm_spec::{Config, VmSpec};
use vmm::test_host::spec;

/// Types a line that ends in Tab and returns what that became.
fn completed(test_machine: &mut TestOperator, line: &str) -> String {
    let text = test_machine.operator(&format!("{line}\t"));
    test_machine.operator("\u{15}");
    text
}

#[test]
fn each_argument_is_completed_by_its_kind() {
    let template = VmSpec {
        is_template: true,
        ..spec("template", 1)
    };
    let config = Config {
        vms: [spec("front", 1), spec("back", 2), template].into(),
        ..Config::default()
    };
    let mut test_machine = TestOperator::configured(1, &config);
    test_machine.operator(ESCAPE);
    for (line, wanted) in [
        // Commands, by themselves and to be explained.
        ("sc", "scrollback "),
        ("help sc", "help scrollback "),
        // VMs.
        ("pause b", "pause back "),
        ("exits f", "exits front "),
        ("copy b", "copy back "),
        // VMs and templates of the configuration.
        ("create t", "create template "),
        ("create b", "create back "),
        // Views.
        ("attach back se", "attach back serial "),
        // Parts of the VM before.
        ("inspect back vcpu1", "inspect back vcpu1 "),
        ("inspect front vcpu1", "inspect front vcpu1"),
        ("inspect front io", "inspect front ioapic "),
        // New names and numbers are the operator's, and nothing follows the last argument.
        ("copy front b", "copy front b"),
        ("create template f", "create template f"),
        ("set-cap front b", "set-cap front b"),
        ("pause front b", "pause front b"),
        ("vms b", "vms b"),
        ("nonsense b", "nonsense b"),
    ] {
        assert_eq!(completed(&mut test_machine, line), wanted);
    }
}
