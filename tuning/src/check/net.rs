//! The network stack: room for connections that wait, and what idle connections lose.

use crate::item::{Item, Verdict};
use crate::root::Root;

/// The node's own listen backlog; the kernel silently cuts it to somaxconn.
const BACKLOG: i64 = 4096;

/// Backlogs, slow start.
pub(super) fn items(root: &Root) -> Vec<Item> {
    vec![
        at_least(
            root,
            Item::new(
                "net.somaxconn",
                "Listen backlog",
                format!(">= {BACKLOG}"),
                "When many clients connect at once, for instance after a restart, those beyond it are dropped and \
                 try again a second later.",
            ),
            "net.core.somaxconn",
        ),
        at_least(
            root,
            Item::new(
                "net.syn_backlog",
                "SYN backlog",
                format!(">= {BACKLOG}"),
                "Half-open connections beyond it are dropped or answered with cookies, which lose TCP options.",
            ),
            "net.ipv4.tcp_max_syn_backlog",
        ),
        slow_start(root),
    ]
}

fn file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

fn at_least(root: &Root, item: Item, name: &str) -> Item {
    match root.number(file(name)) {
        Some(now) => item.now(now.to_string()).unless(
            now >= BACKLOG,
            Verdict::Warn,
            format!("As root: sysctl -w {name}={BACKLOG}"),
        ),
        None => item.absent(),
    }
}

fn slow_start(root: &Root) -> Item {
    const NAME: &str = "net.ipv4.tcp_slow_start_after_idle";
    let item = Item::new(
        "net.slow_start",
        "Slow start after idle",
        "0 (off)",
        "A connection that was quiet for a moment falls back to a small window and sends its next burst in steps.",
    );
    match root.number(file(NAME)) {
        Some(now) => {
            item.now(now.to_string()).unless(now == 0, Verdict::Warn, format!("As root: sysctl -w {NAME}=0"))
        }
        None => item.absent(),
    }
}
