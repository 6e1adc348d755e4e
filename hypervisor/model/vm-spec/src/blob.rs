//! The configuration on its way from the loader to the hypervisor, in postcard's encoding.

use alloc::vec::Vec;
use core::fmt;

use crate::Config;

/// A blob that is not a configuration of this version. Loader and image do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlob;

impl fmt::Display for BadBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration blob cannot be read: loader and hypervisor image are of different versions")
    }
}

impl core::error::Error for BadBlob {}

/// Encodes a configuration.
///
/// # Errors
/// [`BadBlob`] if the encoder refuses, which it has no reason for.
pub fn to_blob(config: &Config) -> Result<Vec<u8>, BadBlob> {
    postcard::to_allocvec(config).map_err(|_| BadBlob)
}

/// Decodes a configuration.
///
/// # Errors
/// [`BadBlob`] if these are not exactly the bytes of one.
pub fn from_blob(blob: &[u8]) -> Result<Config, BadBlob> {
    match postcard::take_from_bytes(blob) {
        Ok((config, [])) => Ok(config),
        Ok(_) | Err(_) => Err(BadBlob),
    }
}
