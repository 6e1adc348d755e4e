//! What of each device model is saved.

use alloc::vec::Vec;
use chipset::{
    DebugPort, ExitPort, FwCfg, Hpet, I8042, IoApic, PicPair, Pit, PowerManagement, Pvpanic,
    ResetControl, Rtc, TestDevice, Uart16550, Vga,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A device whose state is plain data.
pub trait Persist: Sized {
    /// Its state.
    fn to_state(&self) -> Vec<u8>;
    /// Replaces its state by what [`Persist::to_state`] gave. Returns false, and changes nothing, for what it never gave.
    fn set_state(&mut self, bytes: &[u8]) -> bool;
}

/// Devices that are nothing but state.
macro_rules! all_of {
    ($($device:ty),* $(,)?) => {$(
        impl $crate::state::Persist for $device {
            fn to_state(&self) -> alloc::vec::Vec<u8> {
                $crate::state::encode(self)
            }

            fn set_state(&mut self, bytes: &[u8]) -> bool {
                $crate::state::decode(bytes).map(|device| *self = device).is_some()
            }
        }
    )*};
}
#[cfg(test)]
pub(crate) use all_of;

all_of!(
    PicPair,
    IoApic,
    Pit,
    Uart16550,
    Rtc,
    I8042,
    Vga,
    ResetControl,
    PowerManagement,
    Hpet,
    pci::Root,
    DebugPort,
    ExitPort,
    Pvpanic,
    TestDevice,
);

/// Its items are its VM's.
impl Persist for FwCfg {
    fn to_state(&self) -> Vec<u8> {
        encode(self.state())
    }

    fn set_state(&mut self, bytes: &[u8]) -> bool {
        decode(bytes)
            .map(|state| FwCfg::set_state(self, state))
            .is_some()
    }
}

#[expect(
    clippy::expect_used,
    reason = "a vector takes all bytes, and all lengths are known"
)]
pub(crate) fn encode(state: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(state).expect("a vector takes all bytes, and lengths are known")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Some(state),
        Ok(_) | Err(_) => None,
    }
}
