//! The services in other languages, built once per version of their sources into the user's cache folder.

use std::{
    env, fs,
    hash::{DefaultHasher, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What the services are made of.
const SOURCES: [&str; 5] =
    ["python/relay.py", "python/requirements.txt", "go/main.go", "go/go.mod", "go/go.sum"];

/// Where the programs are.
pub(crate) struct Built(PathBuf);

/// Whether there is what builds them.
///
/// # Errors
/// It names what is missing.
pub(crate) fn tools() -> Result<(), String> {
    for (tool, argument) in [("python3", "--version"), ("go", "version")] {
        run(Command::new(tool).arg(argument)).map_err(|error| format!("{tool}: {error}"))?;
    }
    Ok(())
}

impl Built {
    /// Builds what is not there yet; without the network only what is.
    ///
    /// # Errors
    /// The end of what the failing tool said.
    pub(crate) fn get() -> Result<Self, String> {
        let folder = cache().join(format!("interop-{:016x}", hash()?));
        if !folder.exists() {
            // another process may do the same: whoever is first has its result used
            let own = folder.with_extension(format!("{}.tmp", std::process::id()));
            let built =
                build(&own).and_then(|()| fs::rename(&own, &folder).map_err(|error| error.to_string()));
            let _ = fs::remove_dir_all(&own);
            if !folder.exists() {
                built?;
            }
        }
        Ok(Self(folder))
    }

    pub(crate) fn python(&self) -> Command {
        let mut command = Command::new(self.0.join("python/bin/python"));
        command.arg(sources().join("python/relay.py"));
        command
    }

    pub(crate) fn go(&self) -> Command {
        Command::new(self.0.join("go"))
    }
}

fn build(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let python = folder.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    let pinned = sources().join("python/requirements.txt");
    run(Command::new(python.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r"])
        .arg(pinned))?;
    let go = ["build", "-mod=readonly", "-trimpath", "-o"];
    run(Command::new("go").args(go).arg(folder.join("go")).arg(".").current_dir(sources().join("go")))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(20).collect();
    Err(format!("{command:?}: {}\n{}", output.status, end.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("tracewell")
}

fn hash() -> Result<u64, String> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        let source = sources().join(source);
        hasher.write(&fs::read(&source).map_err(|error| format!("{}: {error}", source.display()))?);
    }
    Ok(hasher.finish())
}
