//! Exit reasons and error numbers, with their names. (Intel SDM vol. 3D appendix C; vol. 3C 31.4)

/// Bit 31 of the exit reason: the entry failed. (25.9.1)
pub const ENTRY_FAILURE: u32 = 1 << 31;

macro_rules! reasons {
    ($($name:ident = $number:literal $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $name: u16 = $number;
        )*
        /// The name of a basic exit reason.
        #[must_use]
        pub const fn name(reason: u16) -> &'static str {
            match reason {
                $($number => $text,)*
                _ => "unknown exit reason",
            }
        }
    };
}

reasons! {
    EXCEPTION_OR_NMI = 0 "exception or NMI";
    EXTERNAL_INTERRUPT = 1 "external interrupt";
    TRIPLE_FAULT = 2 "triple fault";
    INIT_SIGNAL = 3 "INIT signal";
    STARTUP_IPI = 4 "start-up IPI";
    IO_SMI = 5 "I/O SMI";
    OTHER_SMI = 6 "other SMI";
    INTERRUPT_WINDOW = 7 "interrupt window";
    NMI_WINDOW = 8 "NMI window";
    TASK_SWITCH = 9 "task switch";
    CPUID = 10 "CPUID";
    GETSEC = 11 "GETSEC";
    HLT = 12 "HLT";
    INVD = 13 "INVD";
    INVLPG = 14 "INVLPG";
    RDPMC = 15 "RDPMC";
    RDTSC = 16 "RDTSC";
    RSM = 17 "RSM";
    VMCALL = 18 "VMCALL";
    VMCLEAR = 19 "VMCLEAR";
    VMLAUNCH = 20 "VMLAUNCH";
    VMPTRLD = 21 "VMPTRLD";
    VMPTRST = 22 "VMPTRST";
    VMREAD = 23 "VMREAD";
    VMRESUME = 24 "VMRESUME";
    VMWRITE = 25 "VMWRITE";
    VMXOFF = 26 "VMXOFF";
    VMXON = 27 "VMXON";
    CR_ACCESS = 28 "control-register access";
    MOV_DR = 29 "MOV DR";
    IO_INSTRUCTION = 30 "I/O instruction";
    RDMSR = 31 "RDMSR";
    WRMSR = 32 "WRMSR";
    INVALID_GUEST_STATE = 33 "VM-entry failure: invalid guest state";
    MSR_LOADING = 34 "VM-entry failure: MSR loading";
    MWAIT = 36 "MWAIT";
    MONITOR_TRAP_FLAG = 37 "monitor trap flag";
    MONITOR = 39 "MONITOR";
    PAUSE = 40 "PAUSE";
    MACHINE_CHECK = 41 "VM-entry failure: machine-check event";
    TPR_BELOW_THRESHOLD = 43 "TPR below threshold";
    APIC_ACCESS = 44 "APIC access";
    VIRTUALIZED_EOI = 45 "virtualized EOI";
    GDTR_OR_IDTR = 46 "access to GDTR or IDTR";
    LDTR_OR_TR = 47 "access to LDTR or TR";
    EPT_VIOLATION = 48 "EPT violation";
    EPT_MISCONFIGURATION = 49 "EPT misconfiguration";
    INVEPT = 50 "INVEPT";
    RDTSCP = 51 "RDTSCP";
    PREEMPTION_TIMER = 52 "VMX-preemption timer expired";
    INVVPID = 53 "INVVPID";
    WBINVD = 54 "WBINVD or WBNOINVD";
    XSETBV = 55 "XSETBV";
    APIC_WRITE = 56 "APIC write";
    RDRAND = 57 "RDRAND";
    INVPCID = 58 "INVPCID";
    VMFUNC = 59 "VMFUNC";
    ENCLS = 60 "ENCLS";
    RDSEED = 61 "RDSEED";
    PML_FULL = 62 "page-modification log full";
    XSAVES = 63 "XSAVES";
    XRSTORS = 64 "XRSTORS";
    PCONFIG = 65 "PCONFIG";
    SPP_EVENT = 66 "SPP-related event";
    UMWAIT = 67 "UMWAIT";
    TPAUSE = 68 "TPAUSE";
    LOADIWKEY = 69 "LOADIWKEY";
    ENCLV = 70 "ENCLV";
    BUS_LOCK = 74 "bus lock";
    NOTIFY = 75 "instruction timeout";
}

/// Returns the meaning of a VM-instruction error field. (31.4)
#[must_use]
pub const fn instruction_error(number: u32) -> &'static str {
    match number {
        1 => "VMCALL executed in VMX root operation",
        2 => "VMCLEAR with invalid physical address",
        3 => "VMCLEAR with VMXON pointer",
        4 => "VMLAUNCH with a VMCS that is not clear",
        5 => "VMRESUME with a VMCS that is not launched",
        6 => "VMRESUME after VMXOFF",
        7 => "VM entry with invalid control fields",
        8 => "VM entry with invalid host-state fields",
        9 => "VMPTRLD with invalid physical address",
        10 => "VMPTRLD with VMXON pointer",
        11 => "VMPTRLD with incorrect VMCS revision identifier",
        12 => "VMREAD or VMWRITE of an unsupported field",
        13 => "VMWRITE to a read-only field",
        15 => "VMXON executed in VMX root operation",
        16 => "VM entry with invalid executive-VMCS pointer",
        17 => "VM entry with an executive VMCS that is not launched",
        18 => "VM entry with an executive-VMCS pointer that is not the VMXON pointer",
        19 => "VMCALL with a VMCS that is not clear",
        20 => "VMCALL with invalid VM-exit control fields",
        22 => "VMCALL with incorrect MSEG revision identifier",
        23 => "VMXOFF under dual-monitor treatment",
        24 => "VMCALL with invalid SMM-monitor features",
        25 => "VM entry with invalid VM-execution control fields in executive VMCS",
        26 => "VM entry with events blocked by MOV SS",
        28 => "invalid operand to INVEPT or INVVPID",
        _ => "unknown VM-instruction error",
    }
}
