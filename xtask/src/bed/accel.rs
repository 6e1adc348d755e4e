//! Whether KVM can really run a hypervisor inside: `/dev/kvm` alone proves nothing.

use std::fs::File;

/// What the user asked for with `--accel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// KVM if nested virtualization is really there, else emulation.
    #[default]
    Auto,
    /// Plain emulation.
    Tcg,
    /// KVM, whatever the checks say.
    Kvm,
}

impl Accel {
    /// Decides; true means KVM.
    pub fn uses_kvm(self) -> bool {
        match self {
            Self::Auto => kvm_verdict().is_ok(),
            Self::Tcg => false,
            Self::Kvm => true,
        }
    }
}

/// `Ok` if KVM can run a hypervisor here, else why not.
///
/// # Errors
/// The first of the three conditions that does not hold, in words.
pub fn kvm_verdict() -> Result<(), String> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    verdict(
        File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok(),
        read("/proc/cpuinfo"),
        |module| read(&format!("/sys/module/{module}/parameters/nested")),
    )
}

fn verdict(
    opens: bool,
    cpuinfo: Option<String>,
    nested: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    if !opens {
        return Err("/dev/kvm is not there or may not be opened".to_owned());
    }
    let cpuinfo = cpuinfo.unwrap_or_default();
    let flags = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let module = if has("vmx") {
        "kvm_intel"
    } else if has("svm") {
        "kvm_amd"
    } else {
        return Err("the CPU shows neither vmx nor svm".to_owned());
    };
    match nested(module).as_deref().map(str::trim) {
        Some("Y" | "1") => Ok(()),
        _ => Err(format!(
            "nested virtualization is off (/sys/module/{module}/parameters/nested)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_cpu_flags_is_not_enough() {
        let cpuinfo = Some("flags\t\t: fpu sse2 svm_lock\n".to_owned());
        assert!(verdict(true, cpuinfo, |_| Some("Y".to_owned())).is_err());
    }

    #[test]
    fn nested_must_be_on_in_the_vendors_module() {
        let cpuinfo = || Some("flags\t\t: fpu vmx\n".to_owned());
        assert!(
            verdict(true, cpuinfo(), |module| (module == "kvm_intel")
                .then(|| "Y\n".to_owned()))
            .is_ok()
        );
        assert!(verdict(true, cpuinfo(), |_| Some("N\n".to_owned())).is_err());
        assert!(verdict(false, cpuinfo(), |_| Some("Y\n".to_owned())).is_err());
    }
}
