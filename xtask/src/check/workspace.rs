//! The workspace's crates as their manifests describe them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use toml::Table;

/// All crates of the workspace.
pub(super) struct Workspace {
    pub(super) crates: Vec<Crate>,
}

/// One crate.
pub(super) struct Crate {
    /// Package name.
    pub(super) name: String,
    /// Folder from the root, `hypervisor/model/addr`.
    pub(super) folder: String,
    manifest: Manifest,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: Table,
    #[serde(default)]
    build_dependencies: Table,
    lints: Option<Table>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Deserialize)]
struct Root {
    workspace: Members,
}

#[derive(Deserialize)]
struct Members {
    members: Vec<String>,
}

impl Workspace {
    /// Reads every manifest of the checkout.
    pub(super) fn read() -> Result<Self> {
        let root = crate::paths::root();
        let text = std::fs::read_to_string(root.join("Cargo.toml"))?;
        let members = toml::from_str::<Root>(&text)
            .context("in Cargo.toml")?
            .workspace
            .members;
        let mut crates = Vec::new();
        for member in members {
            for folder in expand(&root, &member)? {
                let path = root.join(&folder).join("Cargo.toml");
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                crates.push(
                    Crate::parse(&folder, &text)
                        .with_context(|| format!("in {folder}/Cargo.toml"))?,
                );
            }
        }
        Ok(Self { crates })
    }

    /// The crate of this package name, if it is ours.
    pub(super) fn find(&self, name: &str) -> Option<&Crate> {
        self.crates.iter().find(|one| one.name == name)
    }
}

impl Crate {
    pub(super) fn parse(folder: &str, text: &str) -> Result<Self> {
        let manifest: Manifest = toml::from_str(text)?;
        Ok(Self {
            name: manifest.package.name.clone(),
            folder: folder.to_owned(),
            manifest,
        })
    }

    /// Names it depends on, build dependencies too; dev-dependencies are a test's own affair.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = &str> {
        let Manifest {
            dependencies,
            build_dependencies,
            ..
        } = &self.manifest;
        dependencies
            .keys()
            .chain(build_dependencies.keys())
            .map(String::as_str)
    }

    /// True if it takes the workspace's lints.
    pub(super) fn inherits_lints(&self) -> bool {
        let lints = self.manifest.lints.as_ref();
        lints
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool)
            == Some(true)
    }

    /// Its Rust files, with their path from the root.
    pub(super) fn sources(&self) -> Result<Vec<(String, String)>> {
        let mut files = Vec::new();
        collect(&crate::paths::root().join(&self.folder), &mut files)?;
        files.sort();
        files
            .into_iter()
            .map(|path| Ok((crate::paths::shown(&path), std::fs::read_to_string(&path)?)))
            .collect()
    }

    /// The file its crate attributes stand in.
    pub(super) fn root_file(&self) -> Option<String> {
        let folder = crate::paths::root().join(&self.folder);
        ["src/lib.rs", "src/main.rs"]
            .iter()
            .find_map(|file| std::fs::read_to_string(folder.join(file)).ok())
    }
}

/// `hypervisor/model/*` means every folder there with a manifest.
fn expand(root: &Path, member: &str) -> Result<Vec<String>> {
    let Some(parent) = member.strip_suffix("/*") else {
        return Ok(vec![member.to_owned()]);
    };
    let mut folders = Vec::new();
    for entry in
        std::fs::read_dir(root.join(parent)).with_context(|| format!("reading {parent}"))?
    {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            folders.push(format!("{parent}/{}", entry.file_name().to_string_lossy()));
        }
    }
    folders.sort();
    Ok(folders)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
