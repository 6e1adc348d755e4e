//! Regions that the guest moves.

use crate::test_host::{TestMachine, out_wide, spec};
use vm_spec::{After, VmSpec};
use x86::Width;

const SECOND_NS: u64 = 1_000_000_000;
const NOTHING: u32 = u32::MAX;
/// Where the page of the first test device goes, and what its first register reads.
const PLACE: u32 = 0xc000_0000;
const ID: u32 = 0x7e57_de71;
/// The first test device's BAR 0 and command register, by ports.
const BAR: u32 = 0x8000_1810;
const COMMAND: u32 = 0x8000_1804;
const MEMORY: u32 = 2;

fn test_machine() -> TestMachine {
    let vm = VmSpec {
        has_test_devices: true,
        on_reboot: After::Restart,
        ..spec("vm", 1)
    };
    TestMachine::with(1, [vm])
}

impl TestMachine {
    fn configure(&mut self, register: u32, value: u32) {
        self.run([
            out_wide(0xcf8, Width::Dword, register),
            out_wide(0xcfc, Width::Dword, value),
        ]);
    }

    fn place(&mut self, at: u32) {
        self.configure(BAR, at);
        self.configure(COMMAND, MEMORY);
    }
}

#[test]
fn a_bar_is_met_where_the_guest_puts_it() {
    let mut test_machine = test_machine();
    assert_eq!(test_machine.load(PLACE.into()), NOTHING);
    test_machine.place(PLACE);
    assert_eq!(test_machine.load(PLACE.into()), ID);
    test_machine.place(PLACE + 0x1000);
    assert_eq!(test_machine.load(PLACE.into()), NOTHING);
    assert_eq!(test_machine.load(u64::from(PLACE) + 0x1000), ID);
    test_machine.configure(COMMAND, 0);
    assert_eq!(test_machine.load(u64::from(PLACE) + 0x1000), NOTHING);
}

#[test]
fn configuration_by_memory_moves_it_as_well() {
    const ECAM: u64 = 0xb000_0000 + (3 << 15);
    let mut test_machine = test_machine();
    test_machine.store(ECAM + 0x10, PLACE);
    test_machine.store(ECAM + 4, MEMORY);
    assert_eq!(test_machine.load(PLACE.into()), ID);
}

#[test]
fn the_next_life_does_not_meet_what_the_last_one_mapped() {
    let mut test_machine = test_machine();
    test_machine.place(PLACE);
    assert_eq!(test_machine.load(PLACE.into()), ID);
    test_machine.out(0xcf9, 6);
    test_machine.pass_ns(2 * SECOND_NS);
    test_machine.settle();
    // Before the first write of any kind.
    assert_eq!(test_machine.load(PLACE.into()), NOTHING);
}

#[test]
fn a_restored_vm_has_its_bars_where_they_were() {
    let mut test_machine = test_machine();
    test_machine.place(PLACE);
    test_machine.pause();
    test_machine.copy();
    test_machine.resume_copy();
    let vm = test_machine.vm(1);
    let table = vm.board().bus().table();
    let value = table.mmio.read(addr::Gpa::new(PLACE.into()), Width::Dword);
    assert_eq!(value, u64::from(ID));
    assert!(!vm.board().bus().is_pending());
}

#[test]
fn a_destroyed_vm_with_bars_gives_its_memory_back() {
    let mut test_machine = test_machine();
    test_machine.place(PLACE);
    assert_ne!(test_machine.host.ram_bytes(), 0);
    test_machine.vm(0).end(After::Stop);
    test_machine.settle();
    test_machine.hypervisor.destroy("vm").expect("stopped");
    test_machine.settle();
    assert_eq!(test_machine.host.ram_bytes(), 0);
}
