//! Commands as data: what each replies.

use crate::command::{
    Command, Done, HostReport, NotCreated, Page, Refused, Reply, State, VmSummary,
};
use crate::tests::machine::TestOperator;
use alloc::string::String;
use alloc::vec::Vec;
use vm_spec::{Config, GuestConsole, VmSpec};
use vmm::test_host::{out_wide, spec};

/// Makes something of a VM's name.
type Step<T> = fn(String) -> T;

fn name() -> String {
    "vm".into()
}

fn done(done: Done) -> Reply {
    Reply::Done(done)
}

fn refused(refused: Refused) -> Reply {
    Reply::Refused(refused)
}

impl TestOperator {
    /// Carries a command out and lets its consequences come.
    fn execute(&mut self, command: Command) -> Reply {
        let reply = self.operator.execute(command);
        self.settle();
        reply
    }

    /// Expects that a command for the first VM is refused.
    fn refuses(&mut self, command: Step<Command>, wanted: Step<Refused>) {
        let reply = self.execute(command(name()));
        assert_eq!(reply, refused(wanted(name())));
    }
}

/// Makes a machine with a VM and a template.
fn one() -> TestOperator {
    let template = VmSpec {
        is_template: true,
        ..spec("template", 1)
    };
    let config = Config {
        vms: [spec("vm", 1), template].into(),
        ..Config::default()
    };
    TestOperator::configured(1, &config)
}

#[test]
fn tables_are_data() {
    let mut test_machine = one();
    let summary = VmSummary {
        name: name(),
        state: State::Running,
        cpus: 1,
        memory_bytes: spec("vm", 1).memory_bytes,
        exits: 3,
    };
    test_machine.run((0..3).map(|_| vmm::test_host::cpuid(0)));
    let Reply::Vms(mut vms) = test_machine.execute(Command::Vms) else {
        panic!("no table");
    };
    let exits = vms
        .iter_mut()
        .map(|vm| core::mem::replace(&mut vm.exits, 3));
    assert!(exits.sum::<u64>() >= 3);
    assert_eq!(vms, [summary]);
    let Reply::Host(HostReport { cpus, tsc_khz, .. }) = test_machine.execute(Command::Host) else {
        panic!("no machine");
    };
    assert_eq!((cpus, tsc_khz), (1, 1_000_000));
    let Reply::Devices(devices) = test_machine.execute(Command::Devices { name: name() }) else {
        panic!("no devices");
    };
    let device = |name| devices.iter().find(|device| device.name == name);
    let com1 = device("com1").expect("it has one");
    assert_eq!(
        (&com1.lines[..], &com1.ports[..]),
        (&[4][..], &[0x3f8..=0x3ff][..])
    );
    let ioapic = device("ioapic").expect("it has one");
    assert_eq!(ioapic.lines, [0u8; 0]);
    assert_eq!(ioapic.memory, [0xfec0_0000..=0xfec0_0fff]);
}

#[test]
fn what_describes_itself_comes_as_lines() {
    let mut test_machine = one();
    test_machine.print(0, "one\r\ntwo\r\nthree\r\n");
    let mut inspect = |part: Option<&str>| {
        let part = part.map(String::from);
        test_machine.execute(Command::Inspect { name: name(), part })
    };
    for (part, wanted) in [("com1", "ier"), ("vcpu0", "rip")] {
        let Reply::Inspection(text) = inspect(Some(part)) else {
            panic!("no {part}");
        };
        assert!(text.contains(wanted) && text.ends_with('\n'), "{text}");
    }
    let Reply::Refused(Refused::NoPart { part, parts, .. }) = inspect(Some("vcpu9")) else {
        panic!("there is no such part");
    };
    assert_eq!(part, "vcpu9");
    assert!(parts.contains(&"vcpu0".into()) && parts.contains(&"com1".into()));
    // Without time in between.
    let operator = test_machine.operator;
    let all = Command::Inspect {
        name: name(),
        part: None,
    };
    let all = operator.execute(all);
    let Reply::Inspection(text) = &all else {
        panic!("nothing");
    };
    assert!(text.starts_with("vm vm: Running"), "{text}");
    assert_eq!(operator.execute(Command::Info { name: name() }), all);
    let log = test_machine.execute(Command::Log);
    assert_eq!(log, Reply::Log("the tail of the log\n".into()));
    for (lines, wanted) in [(2, "two\nthree\n"), (9, "one\ntwo\nthree\n"), (0, "")] {
        let command = Command::Scrollback {
            name: name(),
            lines: Some(lines),
        };
        let reply = test_machine.execute(command);
        assert_eq!(reply, Reply::Scrollback(wanted.into()));
    }
}

#[test]
fn pages_and_focus_are_requests_to_the_session() {
    let mut test_machine = one();
    let name = || Some(name());
    for (command, page) in [
        (Command::Top, Page::Top),
        (Command::Exits { name: None }, Page::Exits { name: None }),
        (
            Command::Exits { name: name() },
            Page::Exits { name: name() },
        ),
        (
            Command::Scrollback {
                name: self::name(),
                lines: None,
            },
            Page::Scrollback { name: self::name() },
        ),
    ] {
        assert_eq!(test_machine.execute(command), Reply::Page(page));
    }
    for view in [None, Some(GuestConsole::Serial), Some(GuestConsole::Screen)] {
        let name = self::name();
        let command = Command::Attach { name, view };
        let name = self::name();
        let wanted = Reply::Attach { name, view };
        assert_eq!(test_machine.execute(command), wanted);
    }
}

#[test]
fn a_vms_life_in_commands() {
    let mut test_machine = one();
    let mut step = |command: Step<Command>, wanted: Reply| {
        test_machine.pass_ns(2_000_000_000);
        test_machine.settle();
        assert_eq!(test_machine.execute(command(name())), wanted);
    };
    let mut does = |command, wanted: Step<Done>| step(command, done(wanted(name())));
    does(
        |name| Command::Pause { name },
        |name| Done::Pausing { name },
    );
    does(
        |name| Command::Resume { name },
        |name| Done::Resumed { name },
    );
    does(
        |name| Command::Reset { name },
        |name| Done::Restarting { name },
    );
    does(|name| Command::Kill { name }, |name| Done::Killing { name });
    does(
        |name| Command::Start { name },
        |name| Done::Starting { name },
    );
    let unheard = |name| Done::StoppingUnheard { name };
    does(|name| Command::Stop { name }, unheard);
    does(
        |name| Command::Reset { name },
        |name| Done::Starting { name },
    );
    does(|name| Command::Kill { name }, |name| Done::Killing { name });
    does(
        |name| Command::Destroy { name },
        |name| Done::Destroyed { name },
    );
    let gone = refused(Refused::NoVm { name: name() });
    step(|name| Command::Destroy { name }, gone);
}

#[test]
fn commands_that_come_at_the_wrong_time_are_refused() {
    let mut test_machine = one();
    let not_running = |name| Refused::NotRunning { name };
    test_machine.refuses(
        |name| Command::Start { name },
        |name| Refused::NotStopped { name },
    );
    test_machine.refuses(
        |name| Command::Resume { name },
        |name| Refused::RunningAlready { name },
    );
    test_machine.refuses(
        |name| Command::Destroy { name },
        |name| Refused::NotDestroyed { name },
    );
    test_machine.pause();
    test_machine.refuses(
        |name| Command::Pause { name },
        |name| Refused::PausedAlready { name },
    );
    test_machine.execute(Command::Kill { name: name() });
    test_machine.refuses(|name| Command::Kill { name }, not_running);
    test_machine.refuses(|name| Command::Stop { name }, not_running);
    test_machine.refuses(|name| Command::Pause { name }, not_running);
    test_machine.refuses(|name| Command::Button { name }, not_running);
    test_machine.refuses(
        |name| Command::Resume { name },
        |name| Refused::NotPaused { name },
    );
}

#[test]
fn a_button_that_is_heeded_is_told_from_one_that_is_not() {
    let mut test_machine = one();
    let pressed = |is_heeded| {
        done(Done::ButtonPressed {
            name: name(),
            is_heeded,
        })
    };
    let button = || Command::Button { name: name() };
    assert_eq!(test_machine.execute(button()), pressed(false));
    test_machine.run([out_wide(0x602, x86::Width::Word, 0x100)]);
    assert_eq!(test_machine.execute(button()), pressed(true));
    let stopping = done(Done::Stopping {
        name: name(),
        after_ns: 30_000_000_000,
    });
    let stop = Command::Stop { name: name() };
    assert_eq!(test_machine.execute(stop), stopping);
}

#[test]
fn vms_are_created_and_copied() {
    let mut test_machine = one();
    let create = |spec: &str, name: Option<&str>| Command::Create {
        spec: spec.into(),
        name: name.map(String::from),
    };
    let not = |why| refused(Refused::NotCreated(why));
    let created = |name: &str| done(Done::Created { name: name.into() });
    let taken = || NotCreated::Taken { name: name() };
    let none = || NotCreated::NoSpec {
        name: "none".into(),
    };
    let bad = || NotCreated::BadName { name: "..".into() };
    for (command, wanted) in [
        (create("template", None), created("template")),
        (create("template", Some("a")), created("a")),
        (create("template", Some("vm")), not(taken())),
        (create("template", Some("..")), not(bad())),
        (create("none", None), not(none())),
    ] {
        assert_eq!(test_machine.execute(command), wanted);
    }
    let copy = |name: &str| Command::Copy {
        name: name.into(),
        new: "b".into(),
    };
    let no_original = NotCreated::NoOriginal {
        name: "none".into(),
    };
    assert_eq!(test_machine.execute(copy("none")), not(no_original));
    assert_eq!(
        test_machine.execute(copy("vm")),
        not(NotCreated::OriginalRuns)
    );
    test_machine.pause();
    let copying = done(Done::Copying {
        name: name(),
        new: "b".into(),
    });
    assert_eq!(test_machine.execute(copy("vm")), copying);
}

#[test]
fn shares_are_set_and_told() {
    let mut test_machine = one();
    let weight = |weight| Command::SetWeight {
        name: name(),
        weight,
    };
    let bad = || {
        refused(Refused::BadWeight {
            min: 1,
            max: vm_spec::MAX_WEIGHT,
        })
    };
    assert_eq!(test_machine.execute(weight(0)), bad());
    assert_eq!(test_machine.execute(weight(vm_spec::MAX_WEIGHT + 1)), bad());
    let set = done(Done::Weight {
        name: name(),
        weight: 7,
    });
    assert_eq!(test_machine.execute(weight(7)), set);
    assert_eq!(test_machine.vm(0).weight(), 7);
    for (percent, wanted) in [(50, Some(50)), (0, None)] {
        let command = Command::SetCap {
            name: name(),
            percent,
        };
        let set = done(Done::Cap {
            name: name(),
            percent: wanted,
        });
        assert_eq!(test_machine.execute(command), set);
        assert_eq!(test_machine.vm(0).cap(), wanted);
    }
}

#[test]
fn all_that_name_a_vm_refuse_a_name_that_is_none() {
    let mut test_machine = one();
    let none = || String::from("none");
    let view = None;
    let lines = Some(1);
    let commands: Vec<Command> = [
        Command::Exits { name: Some(none()) },
        Command::Attach { name: none(), view },
        Command::Scrollback {
            name: none(),
            lines,
        },
        Command::Scrollback {
            name: none(),
            lines: None,
        },
        Command::Start { name: none() },
        Command::Stop { name: none() },
        Command::Kill { name: none() },
        Command::Button { name: none() },
        Command::Reset { name: none() },
        Command::Pause { name: none() },
        Command::Resume { name: none() },
        Command::Destroy { name: none() },
        Command::SetWeight {
            name: none(),
            weight: 0,
        },
        Command::SetCap {
            name: none(),
            percent: 0,
        },
        Command::Info { name: none() },
        Command::Devices { name: none() },
        Command::Inspect {
            name: none(),
            part: None,
        },
    ]
    .into();
    for command in commands {
        let reply = test_machine.execute(command.clone());
        assert_eq!(
            reply,
            refused(Refused::NoVm { name: none() }),
            "{command:?}"
        );
    }
}

#[test]
#[should_panic(expected = "machine ends: Off")]
fn the_machine_is_left_when_its_reply_could_be_told() {
    let mut test_machine = one();
    let reply = test_machine.operator.execute(Command::Poweroff);
    assert_eq!(reply, done(Done::PoweringOff));
    test_machine.pass_ns(10_000_000);
}
