//! Configurations: text is refused with a place inside it, and what is accepted survives being handed on as a blob.

use proptest::prelude::*;

use crate::damage::{apply, damages};

/// Every key that there is.
const GOOD: &str = r#"
[host]
log = "info"
console = ["serial"]
shutdown-when-done = true

[[vm]]
name = "one"
cpus = 2
memory = "64M"
kernel = "guests/one/vmlinuz"
initrd = "guests/one/initrd.img"
modules = ["guests/one/module text for it"]
cmdline = "console=ttyS0"
entry = "32"
load-address = 0x200000
autostart = false
on-reboot = "stop"
on-crash = "restart"
exit-port = true
cpu-affinity = [0, 1]
weight = 200
cap = 50
template = true
"#;

/// Pieces that matter to the parser.
const PIECES: [&str; 12] = [
    "[[vm]]", "[", "]", "\"", "=", "\n", "\r", "'''", "{", "0x", "ä", "\u{feff}",
];

fn holds(text: &str) -> Result<(), TestCaseError> {
    match vm_spec::parse(text) {
        Ok(config) => {
            let blob = vm_spec::to_blob(&config).expect("any configuration can be encoded");
            prop_assert_eq!(vm_spec::from_blob(&blob).ok(), Some(config));
        }
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #[test]
    fn damaged_text(damages in damages()) {
        let mut text = GOOD.as_bytes().to_vec();
        apply(&mut text, &damages, usize::MAX);
        holds(&String::from_utf8_lossy(&text))?;
    }

    #[test]
    fn text_with_pieces(places in proptest::collection::vec((any::<u16>(), 0..PIECES.len()), 1..6)) {
        let mut text = GOOD.to_owned();
        for (place, piece) in places {
            let at = usize::from(place) % (text.len() + 1);
            if text.is_char_boundary(at) {
                text.insert_str(at, PIECES[piece]);
            }
        }
        holds(&text)?;
    }

    #[test]
    fn damaged_blob(damages in damages()) {
        let config = vm_spec::parse(GOOD).expect("a good text");
        let mut blob = vm_spec::to_blob(&config).expect("any configuration can be encoded");
        apply(&mut blob, &damages, usize::MAX);
        // Whatever it is, it is refused or is a configuration.
        let _ = vm_spec::from_blob(&blob);
    }
}

#[test]
fn the_good_text_is_good() {
    assert!(vm_spec::parse(GOOD).is_ok());
}
