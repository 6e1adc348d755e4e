//! Exit codes. (AMD APM vol. 2 appendix C)

macro_rules! exit_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        $(pub(crate) const $name: u32 = $code;)*

        /// The manual's name for a code, or what kind of code it is.
        pub(crate) fn name(code: u64) -> &'static str {
            match code as u32 {
                $($name => $text,)*
                0x00..=0x0f => "VMEXIT_CR_READ",
                0x10..=0x1f => "VMEXIT_CR_WRITE",
                0x20..=0x2f => "VMEXIT_DR_READ",
                0x30..=0x3f => "VMEXIT_DR_WRITE",
                0x40..=0x5f => "VMEXIT_EXCP",
                0x90..=0x9f => "VMEXIT_CR_WRITE_TRAP",
                _ => "unknown exit code",
            }
        }
    };
}

exit_codes! {
    CR4_WRITE = 0x14, "VMEXIT_CR4_WRITE";
    CR8_WRITE = 0x18, "VMEXIT_CR8_WRITE";
    DEBUG = 0x41, "VMEXIT_EXCP1 (#DB)";
    ALIGNMENT_CHECK = 0x51, "VMEXIT_EXCP17 (#AC)";
    MACHINE_CHECK = 0x52, "VMEXIT_EXCP18 (#MC)";
    INTR = 0x60, "VMEXIT_INTR";
    NMI = 0x61, "VMEXIT_NMI";
    SMI = 0x62, "VMEXIT_SMI";
    INIT = 0x63, "VMEXIT_INIT";
    VINTR = 0x64, "VMEXIT_VINTR";
    RDTSC = 0x6e, "VMEXIT_RDTSC";
    RDPMC = 0x6f, "VMEXIT_RDPMC";
    CPUID = 0x72, "VMEXIT_CPUID";
    RSM = 0x73, "VMEXIT_RSM";
    IRET = 0x74, "VMEXIT_IRET";
    INVD = 0x76, "VMEXIT_INVD";
    PAUSE = 0x77, "VMEXIT_PAUSE";
    HLT = 0x78, "VMEXIT_HLT";
    INVLPGA = 0x7a, "VMEXIT_INVLPGA";
    IOIO = 0x7b, "VMEXIT_IOIO";
    MSR = 0x7c, "VMEXIT_MSR";
    TASK_SWITCH = 0x7d, "VMEXIT_TASK_SWITCH";
    SHUTDOWN = 0x7f, "VMEXIT_SHUTDOWN";
    VMRUN = 0x80, "VMEXIT_VMRUN";
    VMMCALL = 0x81, "VMEXIT_VMMCALL";
    VMLOAD = 0x82, "VMEXIT_VMLOAD";
    VMSAVE = 0x83, "VMEXIT_VMSAVE";
    STGI = 0x84, "VMEXIT_STGI";
    CLGI = 0x85, "VMEXIT_CLGI";
    SKINIT = 0x86, "VMEXIT_SKINIT";
    WBINVD = 0x89, "VMEXIT_WBINVD";
    MONITOR = 0x8a, "VMEXIT_MONITOR";
    MWAIT = 0x8b, "VMEXIT_MWAIT";
    MWAIT_ARMED = 0x8c, "VMEXIT_MWAIT_CONDITIONAL";
    XSETBV = 0x8d, "VMEXIT_XSETBV";
    RDPRU = 0x8e, "VMEXIT_RDPRU";
    NPF = 0x400, "VMEXIT_NPF";
    BUSY = 0xffff_fffe, "VMEXIT_BUSY";
    INVALID = 0xffff_ffff, "VMEXIT_INVALID";
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn invalid_is_known_in_both_spellings() {
        assert_eq!(name(u64::MAX), "VMEXIT_INVALID");
        assert_eq!(name(0xffff_ffff), "VMEXIT_INVALID");
        assert_eq!(name(0x16), "VMEXIT_CR_WRITE");
    }
}
