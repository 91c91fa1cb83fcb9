//! The `segno` program: everything is in the library.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // SAFETY: no thread has started yet.
    unsafe { segno::cli::hidden::hide_environment() };
    segno::cli::main()
}
