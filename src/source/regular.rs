//! Opens files that others name, and nothing but files: opening a FIFO waits for its other end, and a device may have
//! no end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens a file for reading. A FIFO, a device, a socket or a folder is an error, without waiting.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    }
}

/// The file's first bytes, up to one more than a bound: enough to detect a larger file.
pub(crate) fn read(path: &Path, size_bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?
        .take(size_bytes_max as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
