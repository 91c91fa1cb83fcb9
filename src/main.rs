fn main() -> std::process::ExitCode {
    segno::cli::main()
}
