//! Writing `caisson.toml` for the tests.

use std::fmt::Write;

/// Memory of a VM with a test guest.
pub const SMALL: &str = "16M";

/// The `[host]` part.
pub fn host(is_shutdown_when_done: bool) -> String {
    format!("[host]\nlog = \"info\"\nshutdown-when-done = {is_shutdown_when_done}\n")
}

/// One `[[vm]]` part.
#[derive(Clone, Debug)]
pub struct Vm<'a> {
    name: &'a str,
    kernel: String,
    memory: &'a str,
    lines: String,
}

impl<'a> Vm<'a> {
    /// A VM that runs a test guest, with an exit port.
    pub fn test_guest(name: &'a str) -> Self {
        Self::new(name, on_volume(name), SMALL).line("exit-port = true")
    }

    /// A VM with this kernel.
    pub fn new(name: &'a str, kernel: impl Into<String>, memory: &'a str) -> Self {
        Self {
            name,
            kernel: kernel.into(),
            memory,
            lines: String::new(),
        }
    }

    /// With one more line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.lines += line;
        self.lines.push('\n');
        self
    }

    /// As the file has it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[vm]]\nname = \"{}\"\nmemory = \"{}\"\nkernel = \"{}\"\n{}",
            self.name, self.memory, self.kernel, self.lines
        );
        text
    }
}

/// Where a test guest lies on the boot volume.
pub fn on_volume(test_guest: &str) -> String {
    format!("guests/test/{test_guest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_one_table() {
        let text = Vm::test_guest("cpuid").text();
        assert!(text.starts_with("\n[[vm]]\nname = \"cpuid\"\nmemory = \"16M\"\n"));
        assert!(text.ends_with("kernel = \"guests/test/cpuid\"\nexit-port = true\n"));
    }
}
