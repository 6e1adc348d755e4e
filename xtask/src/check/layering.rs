//! Dependencies point down only. This file is the diagram, as data.

use anyhow::Result;

use super::workspace::Workspace;

/// A layer: the folders in it, and the layers (by name) its crates may depend on.
///
/// A folder ending in `/` means every crate below it. The first layer that fits a crate is its layer.
struct Layer {
    name: &'static str,
    folders: &'static [&'static str],
    below: &'static [&'static str],
    /// Crates of this layer may depend on each other.
    is_open: bool,
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "words",
        folders: &[
            "hypervisor/model/addr",
            "hypervisor/model/time",
            "hypervisor/model/x86",
        ],
        below: &[],
        is_open: true,
    },
    Layer {
        name: "contracts",
        folders: &[
            "hypervisor/model/vcpu",
            "hypervisor/model/device",
            "hypervisor/model/guest-memory",
            "hypervisor/model/hardware",
            "hypervisor/model/block",
            "hypervisor/model/host",
        ],
        below: &["words"],
        is_open: true,
    },
    Layer {
        name: "model",
        folders: &["hypervisor/model/"],
        below: &["words", "contracts"],
        is_open: true,
    },
    Layer {
        name: "handoff",
        folders: &["boot/handoff"],
        below: &["words"],
        is_open: false,
    },
    Layer {
        name: "drivers",
        folders: &["hypervisor/drivers/"],
        below: &["words", "contracts", "model"],
        is_open: true,
    },
    Layer {
        name: "platform base",
        folders: &["hypervisor/platform/cpu", "hypervisor/platform/memory"],
        below: &["words", "contracts", "model", "handoff"],
        is_open: true,
    },
    // Not open: vmx and svm never name each other.
    Layer {
        name: "platform parts",
        folders: &[
            "hypervisor/platform/vmx",
            "hypervisor/platform/svm",
            "hypervisor/platform/apic",
            "hypervisor/platform/iommu",
        ],
        below: &["words", "contracts", "model", "handoff", "platform base"],
        is_open: false,
    },
    Layer {
        name: "machine",
        folders: &["hypervisor/platform/machine"],
        below: &[
            "words",
            "contracts",
            "model",
            "handoff",
            "drivers",
            "platform base",
            "platform parts",
        ],
        is_open: false,
    },
    Layer {
        name: "board",
        folders: &["hypervisor/board"],
        below: &["words", "contracts", "model"],
        is_open: false,
    },
    Layer {
        name: "vmm",
        folders: &["hypervisor/vmm"],
        below: &["words", "contracts", "model", "board"],
        is_open: false,
    },
    Layer {
        name: "operator",
        folders: &["hypervisor/operator"],
        below: &["words", "contracts", "model", "board", "vmm"],
        is_open: false,
    },
    Layer {
        name: "image",
        folders: &["hypervisor/image"],
        below: &[
            "words",
            "contracts",
            "model",
            "handoff",
            "drivers",
            "platform base",
            "platform parts",
            "machine",
            "board",
            "vmm",
            "operator",
        ],
        is_open: false,
    },
    Layer {
        name: "loader",
        folders: &["boot/loader"],
        below: &["words", "contracts", "model", "handoff"],
        is_open: false,
    },
    Layer {
        name: "test guests",
        folders: &["tests/guests"],
        below: &["words"],
        is_open: false,
    },
    Layer {
        name: "fuzz targets",
        folders: &["tests/fuzz"],
        below: &["words", "contracts", "model"],
        is_open: false,
    },
    Layer {
        name: "xtask",
        folders: &["xtask"],
        below: &[],
        is_open: false,
    },
    Layer {
        name: "machine tests",
        folders: &["tests/machine"],
        below: &["xtask"],
        is_open: false,
    },
];

fn layer_of(folder: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| {
        layer
            .folders
            .iter()
            .any(|known| match known.strip_suffix('/') {
                Some(parent) => folder
                    .strip_prefix(parent)
                    .is_some_and(|rest| rest.starts_with('/')),
                None => folder == *known,
            })
    })
}

/// Names every edge between our own crates that does not point down.
pub(super) fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for from in &workspace.crates {
        let Some(layer) = layer_of(&from.folder) else {
            faults.push(format!(
                "{} is in no layer; say in xtask/src/check/layering.rs where it belongs",
                from.folder
            ));
            continue;
        };
        for to in from.dependencies().filter_map(|name| workspace.find(name)) {
            // A target without a layer is named by its own turn.
            let Some(target) = layer_of(&to.folder) else {
                continue;
            };
            let is_peer = target.name == layer.name && layer.is_open;
            if !is_peer && !layer.below.contains(&target.name) {
                faults.push(format!(
                    "{} ({}) must not depend on {} ({}); it may use: {}",
                    from.folder,
                    layer.name,
                    to.folder,
                    target.name,
                    layer.below.join(", ")
                ));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::super::workspace::Crate;
    use super::*;

    fn workspace(crates: &[(&str, &str, &[&str])]) -> Workspace {
        let parse = |(folder, name, needs): &(&str, &str, &[&str])| {
            let needs: String = needs
                .iter()
                .map(|need| format!("{need}.workspace = true\n"))
                .collect();
            Crate::parse(
                folder,
                &format!("[package]\nname = \"{name}\"\n[dependencies]\n{needs}"),
            )
            .unwrap()
        };
        Workspace {
            crates: crates.iter().map(parse).collect(),
        }
    }

    #[test]
    fn an_edge_upwards_is_named() {
        let workspace = workspace(&[
            ("hypervisor/model/chipset", "chipset", &["vmm", "serde"]),
            ("hypervisor/vmm", "vmm", &["chipset"]),
        ]);
        let faults = faults(&workspace).unwrap();
        assert_eq!(faults.len(), 1);
        assert!(
            faults[0]
                .starts_with("hypervisor/model/chipset (model) must not depend on hypervisor/vmm")
        );
    }

    #[test]
    fn the_two_vendors_never_name_each_other() {
        let workspace = workspace(&[
            ("hypervisor/platform/vmx", "vmx", &["svm"]),
            ("hypervisor/platform/svm", "svm", &[]),
        ]);
        assert_eq!(faults(&workspace).unwrap().len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_named() {
        assert!(
            faults(&workspace(&[("somewhere/else", "else", &[])])).unwrap()[0]
                .contains("in no layer")
        );
    }

    #[test]
    fn this_workspace_has_a_layer_for_every_crate() {
        for one in Workspace::read().unwrap().crates {
            assert!(layer_of(&one.folder).is_some(), "{}", one.folder);
        }
    }
}
