//! Interrupts: what a driver does on one, and the line it comes from.

/// Action of a driver when its device interrupts.
pub trait InterruptHandler: Sync {
    /// Takes note of an interrupt: rings the bell of whoever works on it.
    ///
    /// Runs on the CPU that the interrupt reached, in its loop or between a VM exit and the next
    /// entry. It waits for nothing, allocates nothing, and takes no lock that is held while a
    /// physical interrupt may be taken. The interrupt is ended at the CPU when this returns: a
    /// level-triggered line that is neither quiet nor masked by then interrupts again.
    fn interrupt(&self);
}

/// One interrupt line of a device, at an interrupt controller. It is masked at first.
pub trait IrqLine {
    /// Lets interrupts through.
    fn enable(&self);

    /// Keeps interrupts back. An edge that comes meanwhile is lost; a level is seen again when the
    /// line is let through.
    fn mask(&self);

    /// Lets the next interrupt through, after one was taken and the device has been served.
    ///
    /// A level-triggered line is masked in the handler, since whoever serves the device does so
    /// later; this unmasks it. Does nothing to an edge-triggered one.
    fn acknowledge(&self);
}
