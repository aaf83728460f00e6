//! The shell.

use std::process::ExitCode;

/// Wipes whatever is freed: libraries that read files and JSON keep secrets in buffers that nobody else wipes.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    keyshell::main()
}
