//! The program `keyshell`.

use std::process::ExitCode;

/// Wipes all memory when it is freed: libraries that parse files and JSON do not wipe their buffers.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    keyshell::main()
}
