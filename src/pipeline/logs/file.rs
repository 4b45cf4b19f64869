//! A file of lines that is rotated by size, by time, or both. Used by its writer's thread alone.
//!
//! A line is never split between two files, and never lost to a rotation: a file that cannot be renamed is written on. What
//! cannot be written waits, within the writer's bounds, and is given again: a full disk, a folder that is gone or without
//! permission costs nothing but time as long as it does not last.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    config::{LogFile, LogRotation},
    diagnostics::{self, Severity},
    line_writer::{Sink, Taken},
};

/// After a rotation that failed, the next one is tried so much later.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// Bytes of one write, unless a line is longer: so much is written again after a disk was full.
const CHUNK: u64 = 256 * 1024;

/// The file, wherever it is by now.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    limit: Option<u64>,
    rotation: LogRotation,
    backups: u32,
    open: Option<Open>,
    /// Not before this, after one that failed.
    rotate_at: Option<Instant>,
    /// The outage has been said.
    refusing: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
    period: u64,
    /// A device or a pipe has no length, and is nobody's to rename.
    regular: bool,
    id: Id,
}

/// Which file it is, whatever its name.
type Id = (u64, u64);

#[cfg(unix)]
fn id(metadata: &fs::Metadata) -> Id {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere, an open file keeps its name.
#[cfg(not(unix))]
fn id(_: &fs::Metadata) -> Id {
    (0, 0)
}

impl RotatingFile {
    pub(super) fn new(file: &LogFile) -> Self {
        Self {
            path: file.path.clone(),
            limit: file.max_bytes,
            rotation: file.rotation,
            backups: file.backups,
            open: None,
            rotate_at: None,
            refusing: false,
        }
    }

    /// Writes lines until one cannot be written; `done` is told how far it got.
    fn write(&mut self, lines: &[u8], done: &mut usize) -> io::Result<()> {
        self.follow_path();
        while *done < lines.len() {
            let period = self.period(SystemTime::now());
            let mut open = match self.open.take() {
                Some(open) => open,
                None => Open::at(&self.path, |at| self.period(at))?,
            };
            let rest = &lines[*done..];
            let room = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(open.length));
            let line = first_line(rest);
            let is_due = open.period < period || line as u64 > room;
            if is_due && open.length > 0 && self.may_rotate(&open) {
                match self.rotate() {
                    // the next round opens the new one
                    Ok(()) => continue,
                    Err(error) => self.grow_on(&error),
                }
            }
            let chunk = &rest[..whole_lines(rest, room.min(CHUNK)).max(line)];
            open.append(chunk)?;
            *done += chunk.len();
            self.open = Some(open);
        }
        Ok(())
    }

    /// Forgets a file that was renamed or removed by others: what is written to it nobody would read.
    fn follow_path(&mut self) {
        let Some(open) = &self.open else { return };
        let is_another = match fs::metadata(&self.path) {
            Ok(now) => id(&now) != open.id,
            // what cannot be looked at may still be written
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_another {
            self.open = None;
        }
    }

    fn grow_on(&mut self, error: &io::Error) {
        self.rotate_at = Some(Instant::now() + ROTATE_AGAIN);
        let path = self.path.display();
        diagnostics::warn(
            "log rotation",
            format_args!("log file {path}: it cannot be rotated and grows on: {error}"),
        );
    }

    fn may_rotate(&self, open: &Open) -> bool {
        open.regular && self.rotate_at.is_none_or(|at| Instant::now() >= at)
    }

    /// Moves every file one number on; the last one goes.
    fn rotate(&mut self) -> io::Result<()> {
        let missing_is_fine = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if self.backups == 0 {
            missing_is_fine(fs::remove_file(&self.path))?;
        }
        for number in (0..self.backups).rev() {
            missing_is_fine(fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)))?;
        }
        self.rotate_at = None;
        Ok(())
    }

    /// Grows at each moment of rotation.
    fn period(&self, at: SystemTime) -> u64 {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.rotation {
            LogRotation::Never => 0,
            LogRotation::Hourly => seconds / 3600,
            LogRotation::Daily => seconds / 86_400,
        }
    }
}

impl Open {
    fn at(path: &Path, period: impl Fn(SystemTime) -> u64) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let regular = metadata.is_file();
        let length = if regular { metadata.len() } else { 0 };
        // what is in it was written when it was changed last
        let written = if length > 0 { metadata.modified().ok() } else { None };
        let mut open = Self {
            file,
            length,
            period: period(written.unwrap_or_else(SystemTime::now)),
            regular,
            id: id(&metadata),
        };
        // a process that was killed may have left a part of a line
        if length > 0 && last_byte(path).is_some_and(|last| last != b'\n') {
            open.append(b"\n")?;
        }
        Ok(open)
    }

    /// Appends all of it or, where the file can be cut back, nothing.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let result = self.file.write_all(bytes);
        match result {
            Ok(()) => self.length += if self.regular { bytes.len() as u64 } else { 0 },
            // a full disk takes a part of a line: it will be written again
            Err(_) if self.regular => self.file.set_len(self.length)?,
            Err(_) => {}
        }
        result
    }
}

impl Sink for RotatingFile {
    fn take(&mut self, lines: &[u8]) -> Taken {
        let mut done = 0;
        match self.write(lines, &mut done) {
            Ok(()) => {
                if std::mem::take(&mut self.refusing) {
                    let path = self.path.display();
                    diagnostics::say(Severity::Info, format_args!("log file {path}: it is written again"));
                }
                Taken::All
            }
            Err(error) => {
                // whatever is wrong with it, the next attempt begins anew
                self.open = None;
                if !std::mem::replace(&mut self.refusing, true) {
                    diagnostics::say(
                        Severity::Warn,
                        format_args!(
                            "log file {}: {error}; up to 4 MiB of lines wait, the service is not affected",
                            self.path.display()
                        ),
                    );
                }
                Taken::First(done)
            }
        }
    }

    fn lost(&mut self, lines: u64) {
        let path = self.path.display();
        diagnostics::warn("log file", format_args!("log file {path}: {lines} lines were lost"));
    }

    fn gave_up(&mut self, lines: u64) {
        let path = self.path.display();
        diagnostics::say(
            Severity::Warn,
            format_args!("log file {path}: {lines} lines were lost: it could not be written until the end"),
        );
    }
}

/// `app.log`, `app.log.1` and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if number > 0 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// How many bytes of whole lines fit.
fn whole_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

fn last_byte(path: &Path) -> Option<u8> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::End(-1)).ok()?;
    let mut last = [0];
    file.read_exact(&mut last).ok()?;
    Some(last[0])
}
