//! From the entry to the test.

use crate::Outcome;

/// Prepares the machine, runs the test, reports.
pub fn run(name: &'static str, test: fn() -> Outcome) -> ! {
    crate::verdict::set_name(name);
    crate::tables::load();
    crate::pic::mask_all();
    let outcome = test();
    crate::verdict::report(name, &outcome)
}

#[cfg(target_os = "none")]
mod bare {
    use core::arch::naked_asm;

    const STACK_BYTES: usize = 32 << 10;

    #[repr(C, align(16))]
    struct Stack([u8; STACK_BYTES]);

    #[unsafe(no_mangle)]
    static mut BOOT_STACK: Stack = Stack([0; STACK_BYTES]);

    /// Where the guest starts: gets a stack of our own.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        naked_asm!(
            "cld",
            "lea rsp, [rip + {stack} + {bytes}]",
            "xor ebp, ebp",
            "call test_main",
            "ud2",
            stack = sym BOOT_STACK,
            bytes = const STACK_BYTES,
        )
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        crate::verdict::give_up(format_args!("panicked: {}", info.message()))
    }
}
