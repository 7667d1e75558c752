//! The version that `--version` prints: that of the package, with the commit where it is known.
//!
//! The commit comes from `LUMACYCLE_COMMIT`, for those who build from an archive, or from git where this is the
//! repository's own checkout. Without either it is left out, and nothing fails. Left out: dates, so that a commit
//! always builds the same.

use std::path::{Path, PathBuf};
use std::process::Command;

fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Twelve digits of the commit that is checked out, if this is our repository and not one around it.
fn commit(root: &Path) -> Option<String> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // The branch moves with each commit, the head when another branch is checked out.
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().map(str::to_owned).chain(branch) {
        let path = root.join(git(root, &["rev-parse", "--git-path", &name])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(root, &["rev-parse", "--short=12", "HEAD"])
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LUMACYCLE_COMMIT");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var("LUMACYCLE_COMMIT").ok();
    let known = match given.map(|text| text.trim().to_owned()) {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None => commit(&root),
    };
    let version = env!("CARGO_PKG_VERSION");
    // What is no word would break the line that Cargo reads.
    let word =
        |text: &String| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let version = match known.filter(word) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=LUMACYCLE_VERSION={version}");
}
