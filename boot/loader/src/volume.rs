//! The volume the loader was started from.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use handoff::{BootVolume, PhysRange};
use uefi::boot::{self, ScopedProtocol};
use uefi::data_types::CString16;
use uefi::proto::device_path::media::{HardDrive, PartitionSignature};
use uefi::proto::device_path::text::{AllowShortcuts, DisplayOnly};
use uefi::proto::device_path::{DevicePath, DevicePathNode};
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::file::{Directory, File, FileAttribute, FileInfo, FileMode, RegularFile};
use uefi::{Handle, Status};

use crate::console::{print, say};
use crate::pages::{NoMemory, Pages};
use crate::stop::Stop;

/// Bytes read between two updates of the progress shown.
const CHUNK_BYTES: usize = 1 << 20;
/// From this size on a file's progress is shown.
const LARGE_FILE_BYTES: u64 = 4 << 20;
/// No text file is larger.
const TEXT_LIMIT_BYTES: u64 = 1 << 20;

/// Why a file could not be read. Prints as the end of a sentence that began with its path.
#[derive(Debug)]
pub(crate) enum FileError {
    /// There is no such file.
    Missing,
    /// It is a directory.
    Directory,
    /// It has no bytes.
    Empty,
    /// It is longer than a file of its kind may be.
    TooLong,
    /// There is no memory for it.
    NoMemory(NoMemory),
    /// The firmware failed to read it.
    Firmware(Status),
    /// It ended before its stated size.
    Short,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing on the boot volume"),
            Self::Directory => f.write_str("is a directory"),
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => f.write_str("is too long"),
            Self::NoMemory(error) => write!(f, "does not fit: {error}"),
            Self::Firmware(status) => write!(f, "cannot be read: the firmware answered {status:?}"),
            Self::Short => f.write_str("ended early while it was read"),
        }
    }
}

impl From<uefi::Error> for FileError {
    fn from(error: uefi::Error) -> Self {
        match error.status() {
            Status::NOT_FOUND => Self::Missing,
            status => Self::Firmware(status),
        }
    }
}

/// The open volume.
pub(crate) struct Volume {
    device: Handle,
    root: Directory,
}

impl Volume {
    /// Opens the volume this loader's own file is on.
    pub(crate) fn of_this_loader() -> Result<Self, Stop> {
        let open = || -> uefi::Result<Self> {
            // Closed again at the end of the statement: the next call opens it too, and only one may.
            let device =
                boot::open_protocol_exclusive::<LoadedImage>(boot::image_handle())?.device();
            let device = device.ok_or(uefi::Error::from(Status::NOT_FOUND))?;
            let mut files: ScopedProtocol<_> = boot::get_image_file_system(boot::image_handle())?;
            Ok(Self {
                device,
                root: files.open_volume()?,
            })
        };
        open().map_err(|error| {
            Stop::new(
                alloc::format!("the loader's own volume cannot be opened: {:?}", error.status()),
                "start it from a FAT file system: a stick, a disk or an image made by cargo xtask image",
            )
        })
    }

    /// Reads a whole file into pages and says so in a line. `path` has forward slashes.
    pub(crate) fn read_pages(&mut self, path: &str) -> Result<Pages, FileError> {
        let (mut file, len_bytes) = self.open(path)?;
        let mut pages = Pages::zeroed(len_bytes).map_err(FileError::NoMemory)?;
        let is_large = len_bytes >= LARGE_FILE_BYTES;
        let mut done_bytes = 0;
        let mut shown_tenths = 0;
        for chunk in pages.bytes_mut().chunks_mut(CHUNK_BYTES) {
            fill(&mut file, chunk)?;
            done_bytes += chunk.len() as u64;
            let tenths = done_bytes * 10 / len_bytes;
            if is_large && tenths > shown_tenths && done_bytes < len_bytes {
                shown_tenths = tenths;
                print(format_args!(
                    "  {path}  {}  {}%\r",
                    Size(len_bytes),
                    tenths * 10
                ));
            }
        }
        let end = if is_large { "  100%" } else { "" };
        say!("  {path}  {}{end}", Size(len_bytes));
        Ok(pages)
    }

    /// Reads a short file.
    pub(crate) fn read_text(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        let (mut file, len_bytes) = match self.open(path) {
            Err(FileError::Empty) => return Ok(Vec::new()),
            other => other?,
        };
        if len_bytes > TEXT_LIMIT_BYTES {
            return Err(FileError::TooLong);
        }
        let mut bytes = alloc::vec![0; len_bytes as usize];
        fill(&mut file, &mut bytes)?;
        Ok(bytes)
    }

    /// Tells how to find this volume again.
    pub(crate) fn identity(&self) -> Result<BootVolume, NoMemory> {
        let Ok(path) = boot::open_protocol_exclusive::<DevicePath>(self.device) else {
            return Ok(BootVolume::default());
        };
        let partition_guid = path.node_iter().find_map(guid_of).unwrap_or_default();
        let text: String = path
            .to_string16(DisplayOnly(true), AllowShortcuts(true))
            .map_or(String::new(), |text| text.to_string());
        let device_path = if text.is_empty() {
            PhysRange::default()
        } else {
            Pages::copy_of(text.as_bytes())?.range()
        };
        Ok(BootVolume {
            partition_guid,
            device_path,
        })
    }

    fn open(&mut self, path: &str) -> Result<(RegularFile, u64), FileError> {
        // What UEFI's strings cannot say is no name of a file on this volume.
        let name = CString16::try_from(path.replace('/', "\\").as_str())
            .map_err(|_| FileError::Missing)?;
        let handle = self
            .root
            .open(&name, FileMode::Read, FileAttribute::empty())?;
        let mut file = handle.into_regular_file().ok_or(FileError::Directory)?;
        match file.get_boxed_info::<FileInfo>()?.file_size() {
            0 => Err(FileError::Empty),
            len_bytes => Ok((file, len_bytes)),
        }
    }
}

/// Reads until `into` is full.
fn fill(file: &mut RegularFile, into: &mut [u8]) -> Result<(), FileError> {
    let mut rest = into;
    while !rest.is_empty() {
        let len = file.read(rest)?;
        if len == 0 {
            return Err(FileError::Short);
        }
        rest = rest.get_mut(len..).unwrap_or_default();
    }
    Ok(())
}

fn guid_of(node: &DevicePathNode) -> Option<[u8; 16]> {
    let drive = <&HardDrive>::try_from(node).ok()?;
    match drive.partition_signature() {
        PartitionSignature::Guid(guid) => Some(guid.to_bytes()),
        _ => None,
    }
}

/// A size for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes < 10 << 10 => write!(f, "{bytes} bytes"),
            bytes if bytes < 10 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
        }
    }
}
