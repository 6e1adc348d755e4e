//! The pair of 8259A interrupt controllers: moved away from the exceptions and masked. (8259A datasheet)

use cpu::IoPorts;

use crate::vectors;

// SAFETY: the master PIC; its registers reach interrupt lines only.
const MASTER: IoPorts = unsafe { IoPorts::claim(0x20, 2) }.expect("below the last port");
// SAFETY: the slave PIC; as above.
const SLAVE: IoPorts = unsafe { IoPorts::claim(0xa0, 2) }.expect("below the last port");

/// Masks all sixteen lines. Harmless where there is no PIC.
pub fn silence_pic() {
    const INIT_WITH_ICW4: u8 = 0x11;
    const MODE_8086: u8 = 0x01;
    const COMMAND: u16 = 0;
    const DATA: u16 = 1;
    for (pic, base, cascade) in [(MASTER, vectors::PIC, 1 << 2), (SLAVE, vectors::PIC + 8, 2)] {
        pic.write_u8(COMMAND, INIT_WITH_ICW4);
        for word in [base, cascade, MODE_8086, 0xff] {
            pic.write_u8(DATA, word);
        }
    }
}
