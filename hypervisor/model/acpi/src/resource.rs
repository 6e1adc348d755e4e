//! AML pieces that the `acpi_tables` crate lacks.

use acpi_tables::{Aml, AmlSink};

/// `IRQNoFlags`: an ISA interrupt, edge-triggered and active high. (ACPI 6.5 6.4.2.1)
pub(crate) struct IsaIrq(pub(crate) u8);

impl Aml for IsaIrq {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        const TAG: u8 = 0x22;
        sink.byte(TAG);
        sink.word(1u16.checked_shl(self.0.into()).unwrap_or(0));
    }
}

/// Bytes that are AML already.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl Aml for Raw<'_> {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(self.0);
    }
}
