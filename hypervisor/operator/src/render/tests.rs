use super::*;
use alloc::vec;
use vm_spec::GuestConsole;
use vmm::{AssembleError, CreateError};

fn text(reply: &Reply) -> String {
    let mut text = String::new();
    render(reply, &mut text).expect("a string takes all");
    text
}

fn vm(state: State) -> VmSummary {
    VmSummary {
        name: "debian".into(),
        state,
        cpus: 2,
        memory_bytes: 512 << 20,
        exits: 1_234_567,
    }
}

fn host() -> HostReport {
    HostReport {
        cpus: 4,
        tsc_khz: 2_400_999,
        up_ns: 61_999_999_999,
        memory: crate::MemoryUse {
            total: 1024 << 20,
            free: 500 << 20,
            guests: 512 << 20,
            files: 8 << 10,
            hypervisor: 100 << 10,
            image: 10 << 10,
            stacks: 11 << 10,
            tables: 12 << 10,
            guest_tables: 13 << 10,
            heap: 14 << 10,
            heap_used: 99,
        },
    }
}

fn devices() -> Vec<DeviceReport> {
    vec![
        DeviceReport {
            name: "pit".into(),
            lines: vec![0, 2],
            ports: vec![0x40..=0x43, 0x61..=0x61],
            memory: vec![],
        },
        DeviceReport {
            name: "ioapic".into(),
            lines: vec![],
            ports: vec![],
            memory: vec![0xfec0_0000..=0xfec0_0fff],
        },
    ]
}

/// Returns each kind of reply with its text.
fn replies() -> Vec<(Reply, &'static str)> {
    let states = [
        State::Stopped,
        State::Running,
        State::Ending,
        State::Starting,
        State::Pausing,
        State::Paused,
        State::Gone,
    ];
    let mut replies = vec![
        (
            Reply::Vms(states.map(vm).into()),
            "name             state    vCPUs    memory        exits\n\
             debian           stopped      2   512 MiB      1234567\n\
             debian           running      2   512 MiB      1234567\n\
             debian           ending       2   512 MiB      1234567\n\
             debian           starting     2   512 MiB      1234567\n\
             debian           pausing      2   512 MiB      1234567\n\
             debian           paused       2   512 MiB      1234567\n\
             debian           gone         2   512 MiB      1234567\n",
        ),
        (
            Reply::Host(host()),
            "4 CPUs at 2400 MHz (TSC), up 61 s\n\
             memory: 1024 MiB in all, 500 MiB free, 512 MiB guests, 8 KiB files, \
             100 KiB hypervisor\n\
             the hypervisor's: image 10 KiB, heap 14 KiB, stacks 11 KiB, page tables 12 KiB, \
             guests' page tables 13 KiB, CPUs' structures 40 KiB\n\
             to the byte: 524288000 free, 99 of the heap in use\n",
        ),
        (
            Reply::Devices(devices()),
            "device   wire at\n\
             pit      0,2  ports 0x40-0x43, port 0x61\n\
             ioapic   -    0xfec00000-0xfec00fff\n",
        ),
        (Reply::Inspection("a\n  b\n".into()), "a\n  b\n"),
        (Reply::Log("a\nb".into()), "a\nb\n"),
        (Reply::Scrollback(String::new()), ""),
        (Reply::Page(crate::Page::Top), ""),
        (
            Reply::Attach {
                name: "vm".into(),
                view: Some(GuestConsole::Screen),
            },
            "",
        ),
    ];
    replies.extend(done().map(|(done, text)| (Reply::Done(done), text)));
    replies.extend(refused().map(|(refused, text)| (Reply::Refused(refused), text)));
    replies
}

fn done() -> [(Done, &'static str); 17] {
    let name = || String::from("vm");
    let button = |is_heeded| Done::ButtonPressed {
        name: name(),
        is_heeded,
    };
    let cap = |percent| Done::Cap {
        name: name(),
        percent,
    };
    [
        (
            Done::Created { name: name() },
            "vm is there; `start vm` starts it\n",
        ),
        (
            Done::Copying {
                name: name(),
                new: "b".into(),
            },
            "b becomes a copy of vm; leave that paused meanwhile\n",
        ),
        (Done::Destroyed { name: name() }, "vm is gone\n"),
        (Done::Starting { name: name() }, "vm starts\n"),
        (Done::Restarting { name: name() }, "vm restarts\n"),
        (
            Done::Stopping {
                name: name(),
                after_ns: 30_000_000_000,
            },
            "vm: power button pressed; stopped hard if it is not down in 30 s\n",
        ),
        (
            Done::StoppingUnheard { name: name() },
            "vm stops at once: its system does not listen to a power button\n",
        ),
        (Done::Killing { name: name() }, "vm stops\n"),
        (button(true), "vm: power button pressed\n"),
        (
            button(false),
            "vm: power button pressed; its system does not listen to it\n",
        ),
        (
            Done::Pausing { name: name() },
            "vm pauses; `resume vm` lets it go on\n",
        ),
        (Done::Resumed { name: name() }, "vm goes on\n"),
        (
            Done::Weight {
                name: name(),
                weight: 7,
            },
            "vm has weight 7\n",
        ),
        (cap(Some(50)), "vm may use 50 % of one CPU at most\n"),
        (cap(None), "vm has no cap\n"),
        (Done::Resetting, "resetting the machine\n"),
        (Done::PoweringOff, "powering off\n"),
    ]
}

fn refused() -> [(Refused, &'static str); 10] {
    let name = || String::from("vm");
    [
        (
            Refused::NoVm { name: name() },
            "there is no VM \"vm\"; `vms` lists them\n",
        ),
        (Refused::NotStopped { name: name() }, "vm is not stopped\n"),
        (
            Refused::NotDestroyed { name: name() },
            "vm: it is not stopped; `kill` stops it at once\n",
        ),
        (Refused::NotRunning { name: name() }, "vm is not running\n"),
        (Refused::NotPaused { name: name() }, "vm is not paused\n"),
        (
            Refused::PausedAlready { name: name() },
            "vm is paused already; `resume vm` lets it go on\n",
        ),
        (
            Refused::RunningAlready { name: name() },
            "vm runs already\n",
        ),
        (
            Refused::BadWeight {
                min: 1,
                max: 10_000,
            },
            "a weight is from 1 to 10000\n",
        ),
        (
            Refused::NoPart {
                name: name(),
                part: "com7".into(),
                parts: vec!["com1".into(), "vcpu0".into()],
            },
            "vm has no \"com7\"; it has com1, vcpu0\n",
        ),
        (
            Refused::NotCreated(NotCreated::OriginalRuns),
            "only a paused VM can be copied\n",
        ),
    ]
}

#[test]
fn each_reply_has_its_text() {
    for (reply, wanted) in replies() {
        assert_eq!(text(&reply), wanted, "{reply:?}");
    }
}

#[test]
fn a_reply_is_the_same_after_a_way_over_a_wire() {
    for (reply, _) in replies() {
        let json = serde_json::to_string(&reply).expect("plain data");
        assert_eq!(serde_json::from_str::<Reply>(&json).expect("whole"), reply);
        let bytes = postcard::to_allocvec(&reply).expect("plain data");
        assert_eq!(postcard::from_bytes::<Reply>(&bytes).expect("whole"), reply);
    }
}

#[test]
fn why_a_vm_was_not_created_is_told_in_the_words_of_the_vmm() {
    let name = || String::from("vm");
    for error in [
        CreateError::NoSpec(name()),
        CreateError::BadName(name()),
        CreateError::Taken(name()),
        CreateError::NoVm(name()),
        CreateError::NotPaused,
        CreateError::Assemble(AssembleError::NoMemory {
            wanted_bytes: 512 << 20,
            free_bytes: 3 << 20,
        }),
        CreateError::Assemble(AssembleError::NoFile("kernel".into())),
        CreateError::Assemble(AssembleError::NoCpu(7)),
    ] {
        let wanted = alloc::format!("{error}\n");
        let reply = Reply::Refused(Refused::NotCreated(error.into()));
        assert_eq!(text(&reply), wanted);
    }
}
