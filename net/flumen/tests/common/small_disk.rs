//! A small filesystem for one test, mounted where nobody else sees it: the test runs again as a child in a mount
//! namespace of its own, and with its last process the mount is gone, however it ends. Needs rights that not every
//! machine gives; where none of the ways works the test says so and is left out.

#![allow(clippy::print_stderr)]

use std::path::Path;
use std::process::{Command, Stdio};

/// Tells the child where the small disk is mounted.
const MOUNTED_AT: &str = "FLUMEN_TEST_SMALL_DISK";

/// A way to a small filesystem.
struct Way {
    what: &'static str,
    /// Arguments of unshare(1).
    namespace: &'static [&'static str],
    /// Mounts `$MIB` MiB at `$DISK`; `$IMAGE` is a file for it to use.
    mount: &'static str,
}

/// The nearest to a real disk first.
const WAYS: [Way; 3] = [
    Way {
        what: "ext4 on a loop device",
        namespace: &["--mount"],
        mount: "truncate -s ${MIB}M \"$IMAGE\" && mkfs.ext4 -q -m 0 \"$IMAGE\" && mount -o loop \"$IMAGE\" \"$DISK\"",
    },
    Way { what: "tmpfs", namespace: &["--mount"], mount: "mount -t tmpfs -o size=${MIB}m none \"$DISK\"" },
    Way {
        what: "tmpfs of a user namespace",
        namespace: &["--mount", "--map-root-user"],
        mount: "mount -t tmpfs -o size=${MIB}m none \"$DISK\"",
    },
];

/// A node needs direct I/O; not every tmpfs has it.
const DIRECT_IO_WORKS: &str =
    "dd if=/dev/zero of=\"$DISK/probe\" bs=4096 count=1 oflag=direct && rm \"$DISK/probe\"";

impl Way {
    /// A shell in a namespace of its own that mounts and goes on with `then`.
    fn command(&self, place: &Path, mib: u32, then: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(self.namespace).args(["--propagation", "private", "sh", "-c"]);
        command.arg(format!("{} && {DIRECT_IO_WORKS} && {then}", self.mount));
        command.env("MIB", mib.to_string());
        command.env("DISK", place.join("disk")).env("IMAGE", place.join("image"));
        command.stdin(Stdio::null());
        command
    }

    fn works(&self, place: &Path, mib: u32) -> bool {
        self.command(place, mib, "true").output().is_ok_and(|output| output.status.success())
    }
}

/// Runs `body` on a filesystem of so many MiB. `name` is the name of the test that calls, and this its only call.
pub fn on_small_disk(name: &str, mib: u32, body: impl FnOnce(&Path)) {
    if let Some(disk) = std::env::var_os(MOUNTED_AT) {
        return body(Path::new(&disk));
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    std::fs::create_dir(place.join("disk")).unwrap();
    let Some(way) = WAYS.iter().find(|way| way.works(place, mib)) else {
        eprintln!("left out: {name}: this machine lets the test mount neither a loop device nor a tmpfs");
        return;
    };
    eprintln!("{name}: on {}", way.what);
    let mut child = way.command(place, mib, "exec \"$0\" \"$@\"");
    child.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let output = child.env(MOUNTED_AT, place.join("disk")).output().unwrap();
    let told = super::said(&output);
    // A name that is not the test's would run nothing and pass.
    assert!(output.status.success() && told.contains("1 passed"), "{}: {told}", output.status);
}
