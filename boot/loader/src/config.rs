//! Reading `caisson.toml`, or doing without.

use alloc::string::String;

use handoff::{CONFIG_PATH, ConfigOrigin};
use vm_spec::Config;

use crate::console::say;
use crate::stop::Stop;
use crate::volume::{FileError, Volume};

/// The configuration to run, and its source.
pub(crate) struct Plan {
    /// The configuration.
    pub(crate) config: Config,
    /// Where it came from.
    pub(crate) origin: ConfigOrigin,
    /// The text it was read from, for messages; empty for the built-in one.
    pub(crate) text: String,
}

/// Reads the configuration of the boot volume; without one the built-in default is used and said so.
///
/// # Errors
/// The fault in the file, with its place and the line.
pub(crate) fn read(volume: &mut Volume) -> Result<Plan, Stop> {
    let bytes = match volume.read_text(CONFIG_PATH) {
        Ok(bytes) => bytes,
        Err(FileError::Missing) => {
            say!(
                "  {CONFIG_PATH}: not there, the built-in default is used: one VM from {}",
                Config::BUILT_IN_KERNEL
            );
            return Ok(Plan {
                config: Config::built_in(),
                origin: ConfigOrigin::BuiltIn,
                text: String::new(),
            });
        }
        Err(error) => return Err(Stop::new(alloc::format!("{CONFIG_PATH} {error}"), "")),
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + good.iter().rev().take_while(|byte| **byte != b'\n').count();
        Stop::new(
            alloc::format!("{CONFIG_PATH}:{line}:{column}: this byte is not UTF-8"),
            "save the file as UTF-8 text",
        )
    })?;
    let config = vm_spec::parse(&text).map_err(|error| {
        Stop::new(
            alloc::format!("in the configuration\n\n{error}"),
            "\n  Correct the file on the boot volume and start again.",
        )
    })?;
    say!("  {CONFIG_PATH}  VMs: {}", config.vms.len());
    Ok(Plan {
        config,
        origin: ConfigOrigin::File,
        text,
    })
}
