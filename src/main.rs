//! The `segno` program: everything is in the library.

fn main() -> std::process::ExitCode {
    segno::cli::main()
}
