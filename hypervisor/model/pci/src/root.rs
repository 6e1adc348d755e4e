//! The root: bus 0 with its functions, behind ports 0xCF8/0xCFC and the ECAM window.
//!
//! Follows PCI Local Bus 3.0, section 3.2.2.3.2 (configuration mechanism 1), and PCI Express Base 5.0, section 7.2.2 (ECAM). The
//! bus itself is built before the VM runs and then never changes.

use crate::bdf::Bdf;
use crate::function::{BarWindow, Function};
use alloc::vec::Vec;
use device::{BadState, Device, MmioDevice, Page, Persist, PioDevice, Refused, State, Width};
use serde::{Deserialize, Serialize};

/// CONFIG_ADDRESS: only a doubleword access is one; bytes from here to 0xCFB are others' (0xCF9 is the reset port).
pub const CONFIG_ADDRESS_PORT: u16 = *pc_map::ports::PCI_ADDRESS.start();
/// CONFIG_DATA, four ports.
pub const CONFIG_DATA_PORT: u16 = *pc_map::ports::PCI_DATA.start();

const ENABLED: u32 = 1 << 31;
/// Enable, bus, device, function, doubleword.
const ADDRESS_WRITABLE: u32 = 0x80ff_fffc;

/// Two functions claim the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupied(pub Bdf);

/// All functions of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// CONFIG_ADDRESS.
    address: u32,
    /// Sorted by place. Which ones there are is wiring.
    functions: Vec<(Bdf, Function)>,
    /// A register has been written since the board last asked.
    is_changed: bool,
}

impl Root {
    /// A bus with nobody on it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            address: 0,
            functions: Vec::new(),
            is_changed: true,
        }
    }

    /// Puts a function at its place.
    ///
    /// # Errors
    /// [`Occupied`] when there is one already.
    pub fn add(&mut self, at: Bdf, function: Function) -> Result<(), Occupied> {
        match self.functions.binary_search_by_key(&at, |entry| entry.0) {
            Ok(_) => Err(Occupied(at)),
            Err(index) => {
                self.functions.insert(index, (at, function));
                Ok(())
            }
        }
    }

    /// The function at `at`.
    #[must_use]
    pub fn function(&self, at: Bdf) -> Option<&Function> {
        let index = self.functions.binary_search_by_key(&at, |entry| entry.0);
        Some(&self.functions.get(index.ok()?)?.1)
    }

    /// The function at `at`, for its own device.
    pub fn function_mut(&mut self, at: Bdf) -> Option<&mut Function> {
        let index = self.functions.binary_search_by_key(&at, |entry| entry.0);
        Some(&mut self.functions.get_mut(index.ok()?)?.1)
    }

    /// Takes note that registers were written, or reset, since this was asked last: BARs, routes and
    /// interrupt switches may be others.
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.is_changed)
    }

    /// All windows that BARs decode at the moment, with function and BAR number: what a board asks when it looks for the owner of
    /// an address in its PCI window.
    pub fn windows(&self) -> impl Iterator<Item = (Bdf, usize, BarWindow)> + '_ {
        self.functions.iter().flat_map(|(at, function)| {
            (0..6).filter_map(move |index| Some((*at, index, function.bar(index)?)))
        })
    }

    /// Reads configuration space; an absent function answers all ones.
    fn read_config(&self, at: Bdf, register: u16, width: Width) -> Result<u32, Refused> {
        match self.function(at) {
            Some(function) => function.read(register, width),
            None => Ok(width.ones() as u32),
        }
    }

    fn write_config(
        &mut self,
        at: Bdf,
        register: u16,
        width: Width,
        value: u32,
    ) -> Result<(), Refused> {
        self.is_changed = true;
        match self.function_mut(at) {
            Some(function) => function.write(register, width, value),
            None => Ok(()),
        }
    }

    /// Returns the function and the register that CONFIG_ADDRESS and a data port select.
    fn selected(&self, port: u16) -> Option<(Bdf, u16)> {
        let register = (self.address & 0xfc) as u16 | port & 3;
        (self.address & ENABLED != 0)
            .then(|| (Bdf::from_bits((self.address >> 8) as u16), register))
    }
}

impl Default for Root {
    fn default() -> Self {
        Self::new()
    }
}

/// CONFIG_ADDRESS, and what guests have written to each function.
#[derive(Serialize, Deserialize)]
pub struct RootState {
    address: u32,
    functions: Vec<(Bdf, Vec<u8>)>,
}

impl State for RootState {}

impl Persist for Root {
    type State = RootState;

    fn state(&self) -> RootState {
        let Self {
            address,
            functions,
            is_changed: _,
        } = self;
        let functions = functions.iter();
        RootState {
            address: *address,
            functions: functions
                .map(|(at, function)| (*at, function.state()))
                .collect(),
        }
    }

    fn set_state(&mut self, state: RootState) -> Result<(), BadState> {
        let RootState { address, functions } = state;
        BadState::unless(
            address & !ADDRESS_WRITABLE == 0,
            "CONFIG_ADDRESS has reserved bits",
        )?;
        let are_same = self
            .functions
            .iter()
            .map(|(at, _)| at)
            .eq(functions.iter().map(|(at, _)| at));
        BadState::unless(are_same, "there are other functions on the bus")?;
        let restored = self.functions.iter().zip(&functions);
        let restored: Vec<Vec<u8>> = restored
            .map(|((_, function), (_, state))| function.restored(state))
            .collect::<Result<_, _>>()?;
        // It looks different to the board.
        self.is_changed = true;
        self.address = address;
        for ((_, function), bytes) in self.functions.iter_mut().zip(restored) {
            function.set_bytes(bytes);
        }
        Ok(())
    }
}

impl Device for Root {
    fn reset(&mut self) {
        let Self {
            address,
            functions,
            is_changed,
        } = self;
        *address = 0;
        *is_changed = true;
        for (_, function) in functions {
            function.reset();
        }
    }

    fn inspect(&self, page: &mut Page<'_>) {
        for (at, function) in &self.functions {
            let (vendor, device) = function.ids();
            page.line("function", format_args!("{at} {vendor:04x}:{device:04x}"));
        }
        for (at, index, window) in self.windows() {
            page.line(
                "bar",
                format_args!("{at} {index} {:#x}+{:#x}", window.start, window.len),
            );
        }
    }
}

impl PioDevice for Root {
    /// Reads a port; `at` is absolute: 0xCF8, or 0xCFC to 0xCFF.
    fn read(&mut self, at: u16, width: Width) -> Result<u32, Refused> {
        match (at, width) {
            (CONFIG_ADDRESS_PORT, Width::Dword) => Ok(self.address),
            (CONFIG_ADDRESS_PORT, _) => Err(Refused::WrongWidth),
            (0xcfc..=0xcff, _) => match self.selected(at) {
                Some((function, register)) => self.read_config(function, register, width),
                None => Err(Refused::NoRegister),
            },
            _ => Err(Refused::NoRegister),
        }
    }

    /// Writes a port; `at` is absolute: 0xCF8, or 0xCFC to 0xCFF.
    fn write(&mut self, at: u16, width: Width, value: u32) -> Result<(), Refused> {
        match (at, width) {
            (CONFIG_ADDRESS_PORT, Width::Dword) => {
                self.address = value & ADDRESS_WRITABLE;
                Ok(())
            }
            (CONFIG_ADDRESS_PORT, _) => Err(Refused::WrongWidth),
            (0xcfc..=0xcff, _) => match self.selected(at) {
                Some((function, register)) => self.write_config(function, register, width, value),
                None => Err(Refused::NoRegister),
            },
            _ => Err(Refused::NoRegister),
        }
    }
}

impl MmioDevice for Root {
    /// Reads the ECAM window, which begins with bus 0.
    fn read(&mut self, at: u64, width: Width) -> Result<u64, Refused> {
        let (function, register) = ecam(at)?;
        self.read_config(function, register, width).map(u64::from)
    }

    /// Writes the ECAM window, which begins with bus 0.
    fn write(&mut self, at: u64, width: Width, value: u64) -> Result<(), Refused> {
        let (function, register) = ecam(at)?;
        self.write_config(function, register, width, value as u32)
    }
}

/// Function and register at an offset of the ECAM window.
fn ecam(at: u64) -> Result<(Bdf, u16), Refused> {
    let bits = u16::try_from(at >> 12).map_err(|_| Refused::NoRegister)?;
    Ok((Bdf::from_bits(bits), (at & 0xfff) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{HOST_BRIDGE, LPC, q35};
    use device::tamper::tamper;

    fn pio_read(root: &mut Root, at: u16, width: Width) -> Result<u32, Refused> {
        PioDevice::read(root, at, width)
    }

    fn select(root: &mut Root, address: u32) {
        PioDevice::write(root, 0xcf8, Width::Dword, address).expect("CONFIG_ADDRESS");
    }

    #[test]
    fn both_doors_lead_to_the_same_function() {
        let mut root = q35(0x600);
        select(&mut root, 0x8000_0000 | u32::from(LPC.to_bits()) << 8);
        assert_eq!(pio_read(&mut root, 0xcfc, Width::Dword), Ok(0x2918_8086));
        assert_eq!(pio_read(&mut root, 0xcfe, Width::Word), Ok(0x2918));
        let at = u64::from(LPC.to_bits()) << 12;
        assert_eq!(MmioDevice::read(&mut root, at + 2, Width::Word), Ok(0x2918));
        assert_eq!(
            MmioDevice::read(&mut root, 0, Width::Dword),
            Ok(0x29c0_8086)
        );
    }

    #[test]
    fn nobody_answers_all_ones() {
        let mut root = q35(0x600);
        select(&mut root, 0x8000_0800);
        assert_eq!(pio_read(&mut root, 0xcfc, Width::Word), Ok(0xffff));
        assert_eq!(
            MmioDevice::read(&mut root, 0x8000, Width::Dword),
            Ok(0xffff_ffff)
        );
        select(&mut root, 0);
        assert_eq!(
            pio_read(&mut root, 0xcfc, Width::Dword),
            Err(Refused::NoRegister)
        );
    }

    #[test]
    fn the_address_register_takes_doublewords_only() {
        let mut root = q35(0x600);
        select(&mut root, u32::MAX);
        assert_eq!(
            pio_read(&mut root, 0xcf8, Width::Dword),
            Ok(ADDRESS_WRITABLE)
        );
        assert!(PioDevice::write(&mut root, 0xcf8, Width::Byte, 0).is_err());
        assert!(PioDevice::write(&mut root, 0xcf9, Width::Byte, 6).is_err());
    }

    #[test]
    fn a_place_is_taken_once() {
        let mut root = q35(0x600);
        let bridge = root.function(HOST_BRIDGE).expect("a host bridge").clone();
        assert_eq!(root.add(HOST_BRIDGE, bridge), Err(Occupied(HOST_BRIDGE)));
    }

    #[test]
    fn no_saved_state_changes_what_a_function_is() {
        let fresh = q35(0x600);
        let mut used = fresh.clone();
        for (register, value) in [(0x04, 0x547), (0x3c, 0x0b), (0x0c, 0x10)] {
            let at = u64::from(LPC.to_bits()) << 12 | register;
            MmioDevice::write(&mut used, at, Width::Dword, value).expect("a register");
        }
        select(&mut used, 0x8000_f804);
        let ids = |root: &Root| {
            let functions = root.functions.iter();
            let identity =
                |function: &Function| [0, 8, 0x2c].map(|at| function.read(at, Width::Dword));
            let ids: Vec<_> = functions
                .map(|(at, function)| (*at, identity(function)))
                .collect();
            ids
        };
        let identities = ids(&fresh);
        let tally = tamper(&used, &fresh, |mut root, accesses, dice| {
            assert_eq!(ids(&root), identities);
            for _ in 0..accesses {
                let at = [0xcf8, 0xcfc, 0xcfd, 0xcfe][dice.roll(4) as usize];
                let width = [Width::Byte, Width::Word, Width::Dword][dice.roll(3) as usize];
                let _ = PioDevice::write(&mut root, at, width, dice.roll(1 << 32) as u32);
                let _ = pio_read(&mut root, at, width);
                let at = dice.roll(1 << 20) & 0xf_8fff;
                let _ = MmioDevice::write(&mut root, at, width, dice.roll(1 << 32));
                let _ = MmioDevice::read(&mut root, at, width);
            }
            root.reset();
            // Ids, masks, initial values and places are all of it.
            assert_eq!(root, fresh);
        });
        assert!(tally.taken > 1_000 && tally.refused > 1_000, "{tally:?}");
        // As a state could say: a function that is another one.
        let mut state = fresh.state();
        let (_, bytes) = state.functions.first_mut().expect("the host bridge");
        bytes[0] = 0x11;
        assert!(fresh.clone().set_state(state).is_err());
    }

    #[test]
    fn no_access_panics() {
        let mut root = q35(0x600);
        for bits in 0..=0x1_0000u64 {
            for at in [0, 3, 4, 0x3d, 0xfe, 0xff, 0xfff] {
                for width in [Width::Byte, Width::Word, Width::Dword, Width::Qword] {
                    let at = ((bits * 7) << 12) + at;
                    let _ = MmioDevice::write(&mut root, at, width, u64::MAX);
                    let _ = MmioDevice::read(&mut root, at, width);
                }
            }
        }
    }
}
