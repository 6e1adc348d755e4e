//! All boots there are.

use anyhow::{Result, bail};

use crate::beds;
use crate::boot::Boot;
use crate::compat;
use crate::stories::{
    bad_images, bad_input, button, console, fairness, four_vms, guests, linux, load, operator,
    processors, save, textscreen,
};

const CLOUD: &str = "debian-cloud";
const GENERAL: &str = "debian";

/// Every boot, the long ones too.
///
/// # Errors
/// The folder of test guests cannot be read.
pub fn all() -> Result<Vec<Boot>> {
    let mut boots = vec![
        guests::boot(beds::QEMU, 20)?,
        guests::boot(beds::SKYLAKE, 50)?,
        guests::boot(beds::HASWELL, 50)?,
        guests::boot(beds::TRINITY, 50)?,
        guests::boot(beds::QEMU_SMP, 20)?,
        guests::boot(beds::HASWELL_SMP, 60)?,
        guests::boot(beds::LYNNFIELD, 50)?.long(),
        guests::smp_boot(beds::QEMU, 20)?,
        guests::smp_boot(beds::QEMU_SMP, 20)?,
        guests::smp_boot(beds::HASWELL, 60)?,
        guests::smp_boot(beds::HASWELL_SMP, 60)?,
        guests::smp_boot(beds::SKYLAKE, 60)?.long(),
        guests::smp_boot(beds::TRINITY, 60)?.long(),
        linux::boot(beds::QEMU, CLOUD, "linux", 40),
        linux::boot(beds::HASWELL, CLOUD, "linux", 240),
        // One long way up is enough here: the way down and up again is the same on any VT-x.
        linux::boot(beds::SKYLAKE, CLOUD, "linux", 150).without("linux/reboot"),
        linux::boot(beds::QEMU, GENERAL, "linux-general", 60),
        linux::boot(beds::TRINITY, CLOUD, "linux", 240).long(),
        linux::boot(beds::LYNNFIELD, CLOUD, "linux", 240).long(),
        console::boot(beds::QEMU, 20),
        console::boot(beds::HASWELL, 60).long(),
        operator::boot(beds::QEMU, 60),
        operator::boot(beds::SKYLAKE, 300).long(),
        button::boot(beds::QEMU, 60),
        button::boot(beds::HASWELL, 60).without(button::IGNORED),
        button::linux_boot(beds::QEMU, 40),
        button::linux_boot(beds::HASWELL, 300).long(),
        processors::boot(beds::QEMU, 40),
        save::boot(beds::QEMU, 60),
        save::boot(beds::HASWELL, 300),
        save::linux_boot(beds::QEMU, 60),
        save::linux_boot(beds::HASWELL, 500).long(),
        load::boot(beds::QEMU, 60),
        load::boot(beds::QEMU_SMP, 60),
        load::boot(beds::HASWELL_SMP, 500).long(),
        fairness::boot(beds::QEMU, 60),
        fairness::boot(beds::HASWELL, 240),
        four_vms::boot(beds::QEMU_SMP, 120),
        four_vms::boot(beds::HASWELL_SMP, 900).long(),
        textscreen::ours(beds::QEMU, 20),
        textscreen::ours(beds::HASWELL, 60),
        textscreen::memtest(beds::QEMU, "memtest86", 30),
        textscreen::memtest(beds::HASWELL_SMP, "memtest86", 60).long(),
        textscreen::memtest(beds::QEMU, "memtest86-32", 30),
        textscreen::memtest(beds::HASWELL_SMP, "memtest86-32", 60).long(),
        textscreen::invaders(beds::QEMU, 20),
        textscreen::invaders(beds::HASWELL, 60),
    ];
    boots.extend([beds::QEMU, beds::HASWELL].map(|bed| bad_images::boot(bed, 20)));
    boots.extend(bad_input::boots());
    boots.extend(compat::boots());
    Ok(boots)
}

/// Which of them.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only tests whose name contains this, or one of several texts with `|` between.
    pub filter: Option<String>,
    /// Also the long ones.
    pub is_all: bool,
    /// Only beds whose name begins with one of these; all if empty.
    pub beds: Vec<String>,
}

impl Choice {
    /// Leaves out what was not chosen.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn apply(&self, mut boots: Vec<Boot>) -> Result<Vec<Boot>> {
        if !self.beds.is_empty() {
            boots.retain(|boot| {
                self.beds.iter().any(|bed| {
                    boot.bed.name == bed || boot.bed.name.starts_with(&format!("{bed}-"))
                })
            });
        }
        if !self.is_all {
            boots.retain(|boot| !boot.is_long);
        }
        if let Some(filter) = &self.filter {
            for boot in &mut boots {
                let bed = boot.bed.name;
                boot.tests.retain(|test| {
                    let name = format!("{bed}/{test}");
                    filter.split('|').any(|part| name.contains(part))
                });
            }
            boots.retain(|boot| !boot.tests.is_empty());
        }
        if boots.is_empty() {
            bail!("no test is chosen by that; `--list --all` shows them");
        }
        Ok(boots)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique() {
        let boots = all().unwrap();
        let mut tests = BTreeSet::new();
        let mut logs = BTreeSet::new();
        for boot in &boots {
            let log = format!("{}-{}", boot.bed.name, boot.name);
            assert!(logs.insert(log.clone()), "{log}");
            for test in &boot.tests {
                assert!(tests.insert(boot.full_name(test)), "{test}");
            }
        }
    }

    #[test]
    fn a_filter_keeps_single_tests() {
        let choice = Choice {
            filter: Some("qemu/guest/triple_fault".to_owned()),
            ..Choice::default()
        };
        let boots = choice.apply(all().unwrap()).unwrap();
        assert_eq!(boots.len(), 1);
        assert_eq!(boots[0].tests, ["guest/triple_fault"]);
    }

    #[test]
    fn a_bed_is_chosen_by_its_emulator_too() {
        let choice = Choice {
            beds: vec!["bochs".to_owned()],
            ..Choice::default()
        };
        let boots = choice.apply(all().unwrap()).unwrap();
        assert!(boots.iter().all(|boot| boot.bed.name.starts_with("bochs-")));
    }
}
