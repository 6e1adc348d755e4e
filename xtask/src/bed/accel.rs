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
    /// KVM, or nothing.
    Kvm,
}

/// Whose virtualization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Vendor {
    /// AMD-V: in QEMU.
    Amd,
    /// Intel VT-x: in Bochs.
    Intel,
}

/// Decides what to run on: whose virtualization, and whether by KVM.
///
/// KVM only ever offers the virtualization of the CPU below it. Without a wish for a vendor, KVM's is taken where it can be
/// used, else AMD-V, whose emulation is the faster one.
///
/// # Errors
/// KVM was asked for and cannot do what was asked, in words.
pub fn decide(
    accel: Accel,
    wish: Option<Vendor>,
    kvm: &Result<Vendor, String>,
) -> Result<(Vendor, bool), String> {
    match (accel, kvm) {
        (Accel::Auto, Ok(vendor)) if wish.is_none_or(|wish| wish == *vendor) => Ok((*vendor, true)),
        (Accel::Auto | Accel::Tcg, _) => Ok((wish.unwrap_or(Vendor::Amd), false)),
        (Accel::Kvm, Ok(vendor)) if wish.is_some_and(|wish| wish != *vendor) => Err(format!(
            "KVM on this machine offers {vendor:?}'s virtualization only"
        )),
        (Accel::Kvm, Ok(vendor)) => Ok((*vendor, true)),
        (Accel::Kvm, Err(reason)) => Err(format!("KVM cannot run a hypervisor here: {reason}")),
    }
}

/// Whose virtualization KVM can offer to a hypervisor here, else why it cannot.
///
/// # Errors
/// The first of the three conditions that does not hold, in words.
pub fn kvm_verdict() -> Result<Vendor, String> {
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
) -> Result<Vendor, String> {
    if !opens {
        return Err("/dev/kvm is not there or may not be opened".to_owned());
    }
    let cpuinfo = cpuinfo.unwrap_or_default();
    let flags = cpuinfo
        .lines()
        .find(|line| line.starts_with("flags"))
        .unwrap_or_default();
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let (vendor, module) = if has("vmx") {
        (Vendor::Intel, "kvm_intel")
    } else if has("svm") {
        (Vendor::Amd, "kvm_amd")
    } else {
        return Err("the CPU shows neither vmx nor svm".to_owned());
    };
    match nested(module).as_deref().map(str::trim) {
        Some("Y" | "1") => Ok(vendor),
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
    fn kvm_is_used_only_for_the_vendor_it_has() {
        let intel = Ok(Vendor::Intel);
        assert_eq!(decide(Accel::Auto, None, &intel), Ok((Vendor::Intel, true)));
        assert_eq!(
            decide(Accel::Auto, Some(Vendor::Amd), &intel),
            Ok((Vendor::Amd, false))
        );
        assert_eq!(decide(Accel::Tcg, None, &intel), Ok((Vendor::Amd, false)));
        assert!(decide(Accel::Kvm, Some(Vendor::Amd), &intel).is_err());
        assert!(decide(Accel::Kvm, None, &Err("no".to_owned())).is_err());
        assert_eq!(
            decide(Accel::Auto, Some(Vendor::Intel), &Err("no".to_owned())),
            Ok((Vendor::Intel, false))
        );
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
