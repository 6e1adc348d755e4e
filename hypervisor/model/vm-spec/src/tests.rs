//! Tests of what the parser accepts, what it refuses, and how it says so.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use crate::*;

pub(crate) const FULL: &str = r#"# the machine
[host]
log = "debug"
console = ["serial"]
shutdown-when-done = true

[[vm]]
name = "debian"
cpus = 2
memory = "512M"
kernel = "guests/debian/vmlinuz"
initrd = "guests/debian/initrd.img"
cmdline = "console=ttyS0"
autostart = false
on-reboot = "stop"
on-crash = "restart"
exit-port = true
cpu-affinity = [0, 3]
modules = ["guests/a/module first=1 second", "guests/a/other"]
entry = "32"
load-address = "1M"
weight = 250
cap = 150
template = true
console = "screen"

[[vm]]
name = "tiny_1"
memory = 1048576
kernel = "tests/tiny.elf"
"#;

/// A file with one VM and one more line in it.
fn vm_with(line: &str) -> String {
    format!("[[vm]]\nname = \"a\"\nkernel = \"k\"\n{line}\n")
}

fn refusal(text: &str) -> SpecError {
    parse(text).expect_err("this must be refused")
}

#[test]
fn a_full_file_is_read() {
    let config = parse(FULL).expect("it is right");
    let host = HostSpec {
        log: LogLevel::Debug,
        consoles: vec![Console::Serial],
        shutdown_when_done: true,
    };
    let debian = VmSpec {
        cpus: 2,
        memory_bytes: 512 << 20,
        initrd: Some("guests/debian/initrd.img".to_string()),
        cmdline: "console=ttyS0".to_string(),
        autostart: false,
        on_reboot: After::Stop,
        on_crash: After::Restart,
        exit_port: true,
        cpu_affinity: Some(vec![0, 3]),
        modules: vec![
            ModuleSpec {
                path: "guests/a/module".into(),
                cmdline: "first=1 second".into(),
            },
            ModuleSpec {
                path: "guests/a/other".into(),
                cmdline: String::new(),
            },
        ],
        entry: Some(EntryMode::Protected32),
        load_address: Some(1 << 20),
        weight: 250,
        cap_percent: Some(150),
        is_template: true,
        console: GuestConsole::Screen,
        place: Place { line: 8, column: 1 },
        ..VmSpec::new("debian", "guests/debian/vmlinuz")
    };
    let tiny = VmSpec {
        memory_bytes: 1 << 20,
        place: Place {
            line: 28,
            column: 1,
        },
        ..VmSpec::new("tiny_1", "tests/tiny.elf")
    };
    assert_eq!(
        config,
        Config {
            host,
            vms: vec![debian, tiny]
        }
    );
    assert_eq!(
        config.files(),
        [
            "guests/debian/vmlinuz",
            "guests/debian/initrd.img",
            "guests/a/module",
            "guests/a/other",
            "tests/tiny.elf"
        ]
    );
}

#[test]
fn an_empty_file_is_no_vm_and_the_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
    assert_eq!(parse("# nothing\n\n"), Ok(Config::default()));
}

#[test]
fn an_error_prints_the_line_with_a_caret_and_what_is_right() {
    let error = refusal("[[vm]]\nname = \"a\"\nkernel = \"k\"\n\tmemroy = \"1G\"\n");
    let expected = "caisson.toml:4:2: [[vm]] has no key `memroy`\n  |\n4 | \tmemroy = \"1G\"\n  | \t^^^^^^\n  = did you mean `memory`?";
    assert_eq!(error.to_string(), expected);
    assert_eq!((error.line, error.column), (4, 2));
}

#[test]
fn the_first_error_from_the_top_is_told() {
    let error = refusal(&vm_with("zebra = 1\nalpha = 2"));
    assert_eq!(
        (error.line, error.message.as_str()),
        (4, "[[vm]] has no key `zebra`")
    );
}

#[test]
fn unknown_tables_and_host_keys_are_refused() {
    assert_eq!(refusal("[hosts]\nlog = 1\n").hint, "did you mean `host`?");
    assert_eq!(
        refusal("[host]\nconsoles = []\n").hint,
        "did you mean `console`?"
    );
    assert!(
        refusal("[host]\ncolour = 1\n")
            .hint
            .contains("log, console, shutdown-when-done")
    );
}

#[test]
fn a_syntax_error_has_its_place() {
    let error = refusal("[host]\nlog = info\n");
    assert_eq!((error.line, error.column), (2, 7));
    let error = refusal("[[vm]]\nname = \"a\nkernel = \"k\"\n");
    assert_eq!(error.line, 2);
    assert!(!error.hint.is_empty());
    assert_eq!(refusal("[[vm]\n").line, 1);
    let error = refusal("[host]\nlog = \"info\"\nlog = \"warn\"\n");
    assert_eq!((error.line, error.column), (3, 1));
}

#[test]
fn a_wrong_type_is_named_with_an_example() {
    for (line, example) in [
        ("cpus = \"2\"", "cpus = 2"),
        ("cpus = 1.5", "cpus = 2"),
        ("memory = true", "memory = \"512M\""),
        ("cmdline = 5", "cmdline = \"console=ttyS0\""),
        ("autostart = \"yes\"", "autostart = true"),
        ("initrd = []", "initrd = \"guests/debian/initrd.img\""),
        ("cpu-affinity = 1", "cpu-affinity = [0, 1]"),
    ] {
        let error = refusal(&vm_with(line));
        assert_eq!(error.line, 4, "{line}");
        assert_eq!(
            error.column as usize,
            line.find("= ").expect("all have one") + 3,
            "{line}"
        );
        assert_eq!(error.hint, format!("for example: {example}"));
    }
    assert_eq!(refusal("vm = 3\n").line, 1);
    assert!(refusal("[vm]\nname = \"a\"\n").message.contains("[[...]]"));
    assert_eq!(refusal("host = []\n").line, 1);
}

#[test]
fn numbers_keep_their_limits() {
    for line in [
        "cpus = 0",
        "cpus = 33",
        "cpus = -1",
        "cpus = 99999999999999999999",
        "cpu-affinity = [0, 0]",
        "weight = 0",
        "weight = 10001",
        "cap = 0",
        "cap = 3201",
        "entry = \"8\"",
        "load-address = \"4G\"",
        "modules = [\"/absolute\"]",
        "modules = [\"\"]",
        "console = \"vga\"",
    ] {
        assert_eq!(refusal(&vm_with(line)).line, 4, "{line}");
    }
    for line in [
        "cpu-affinity = []",
        "cpu-affinity = [2000]",
        "cpu-affinity = [\"0\"]",
    ] {
        assert_eq!(refusal(&vm_with(line)).line, 4, "{line}");
    }
    assert_eq!(
        parse(&vm_with("cpus = 32"))
            .expect("the limit is allowed")
            .vms[0]
            .cpus,
        32
    );
    assert_eq!(
        parse(&vm_with("cpus = 0x10"))
            .expect("hexadecimal is TOML")
            .vms[0]
            .cpus,
        16
    );
}

#[test]
fn memory_keeps_its_limits() {
    for line in [
        "memory = \"12X\"",
        "memory = \"64K\"",
        "memory = 0",
        "memory = \"2T\"",
        "memory = 1048577",
    ] {
        assert_eq!(refusal(&vm_with(line)).line, 4, "{line}");
    }
    for (line, bytes) in [
        ("memory = \"1M\"", 1 << 20),
        ("memory = \"3G\"", 3 << 30),
        ("memory = \"2048K\"", 2 << 20),
    ] {
        assert_eq!(
            parse(&vm_with(line)).expect("within limits").vms[0].memory_bytes,
            bytes
        );
    }
}

#[test]
fn a_name_is_plain_and_unique() {
    for name in [
        "",
        "a b",
        "a/b",
        "ä",
        "\\u001b[2J",
        "123456789012345678901234567890123",
    ] {
        assert_eq!(
            refusal(&format!("[[vm]]\nkernel = \"k\"\nname = \"{name}\"\n")).line,
            3,
            "{name}"
        );
        assert!(!crate::is_name(name), "{name}");
    }
    assert!(crate::is_name("Debian-12_a"));
    let error =
        refusal("[[vm]]\nname = \"a\"\nkernel = \"k\"\n[[vm]]\nname = \"a\"\nkernel = \"k\"\n");
    assert_eq!(
        (error.line, error.message.as_str()),
        (5, "two VMs are called `a`; the other is in line 2")
    );
}

#[test]
fn a_missing_key_points_at_its_vm() {
    let error = refusal("[host]\n\n[[vm]]\nname = \"a\"\n");
    assert_eq!(
        (error.line, error.message.as_str()),
        (3, "this VM has no `kernel`")
    );
    let error = refusal("[[vm]]\nname = \"a\"\nkernel = \"k\"\n[[vm]]\nkernel = \"k\"\n");
    assert_eq!(
        (error.line, error.message.as_str()),
        (4, "this VM has no `name`")
    );
}

#[test]
fn what_later_versions_have_is_refused_with_its_place() {
    let error = refusal("[[vm]]\nname = \"a\"\nfirmware = \"OVMF.fd\"\n");
    assert_eq!((error.line, error.column), (3, 1));
    assert!(error.message.contains("not yet supported"));
    let error = refusal(&vm_with("[[vm.disk]]\nimage = \"d.img\""));
    assert_eq!(error.line, 4);
    assert!(error.message.contains("`disk` is not yet supported"));
}

#[test]
fn a_path_stays_on_the_boot_volume() {
    for path in [
        "",
        "/k",
        "a//b",
        "../k",
        "a/./k",
        "a/..",
        "a\\\\b",
        "c:k",
        "a?",
        "a/\\u0007",
    ] {
        assert_eq!(
            refusal(&vm_with(&format!("initrd = \"{path}\""))).line,
            4,
            "{path}"
        );
    }
    assert!(parse(&vm_with("initrd = \"Guests/with space/k..img\"")).is_ok());
}

#[test]
fn words_of_a_choice_are_listed() {
    assert_eq!(
        refusal(&vm_with("on-crash = \"reboot\"")).hint,
        "one of: \"restart\", \"stop\""
    );
    assert!(
        refusal("[host]\nlog = \"loud\"\n")
            .hint
            .contains("\"trace\"")
    );
    assert_eq!(
        refusal("[host]\nconsole = [\"serial\", \"serial\"]\n").line,
        2
    );
    assert_eq!(
        parse("[host]\nconsole = []\n")
            .expect("none is allowed")
            .host
            .consoles,
        []
    );
}

#[test]
fn a_vm_can_be_pointed_at_later() {
    let config = parse(FULL).expect("it is right");
    let error = config.vms[1].error(FULL, "no memory left", "use less");
    assert_eq!(
        (error.line, error.line_text.as_str()),
        (28, "name = \"tiny_1\"")
    );
}

#[test]
fn no_control_character_reaches_the_console() {
    let error = refusal("a = \"\u{1b}[2J\"\n");
    assert!(!error.to_string().contains('\u{1b}'));
    let error = refusal("\"\\u001bkey\" = 1\n");
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn a_blob_brings_everything_back() {
    let mut config = parse(FULL).expect("it is right");
    config.vms[1].problem = Some("tests/tiny.elf is missing".to_string());
    let blob = to_blob(&config).expect("postcard encodes it");
    assert_eq!(from_blob(&blob), Ok(config));
    assert_eq!(from_blob(&[]), Err(BadBlob));
    assert_eq!(from_blob(&[&blob[..], &[0]].concat()), Err(BadBlob));
    for end in 0..blob.len() {
        assert_eq!(from_blob(&blob[..end]), Err(BadBlob));
    }
}

#[test]
fn the_built_in_configuration_is_one_the_parser_would_accept() {
    let config = Config::built_in();
    let vm = &config.vms[0];
    let text = format!(
        "[[vm]]\nname = {:?}\nkernel = {:?}\ninitrd = {:?}\ncmdline = {:?}\n",
        vm.name,
        vm.kernel,
        vm.initrd.as_deref().unwrap_or_default(),
        vm.cmdline
    );
    let mut parsed = parse(&text).expect("it is right");
    parsed.vms[0].place = Place::default();
    assert_eq!(parsed, config);
}
