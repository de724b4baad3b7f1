//! What a bed could leave behind on the machine, to show that it does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// One line for each thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// Everything of beds whose names begin with `prefix`: processes, mounts, cgroups, files.
    pub fn of_beds(prefix: &str) -> Self {
        let mut found = BTreeSet::new();
        processes(prefix, &mut found);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        found.extend(mounts.lines().filter(|line| line.contains(prefix)).map(|line| format!("mount {line}")));
        cgroups(Path::new("/sys/fs/cgroup"), prefix, 0, &mut found);
        names("/tmp", prefix, &mut found);
        Machine(found)
    }

    /// [`Machine::of_beds`], and all links, firewall rules and named network namespaces of the root namespace, whoever
    /// made them.
    pub fn look(prefix: &str) -> Self {
        let Machine(mut found) = Self::of_beds(prefix);
        for folder in ["/run/netns", "/var/run/netns", "/sys/class/net"] {
            names(folder, "", &mut found);
        }
        for program in ["iptables-save", "ip6tables-save"] {
            let Ok(output) = Command::new(program).output() else { continue };
            let rules = String::from_utf8_lossy(&output.stdout).into_owned();
            // Counters and times change by themselves.
            let rules = rules.lines().filter(|line| !line.starts_with('#'));
            let rules = rules.map(|line| line.split(" [").next().unwrap_or_default());
            found.extend(rules.map(|rule| format!("{program} {rule}")));
        }
        Machine(found)
    }

    /// What is here and was not `before`.
    pub fn since(&self, before: &Machine) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn names(folder: &str, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            found.insert(format!("file {folder}/{name}"));
        }
    }
}

fn processes(prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // Containers do not have the bed's name in their argv, but in their cgroup.
        for file in ["cmdline", "cgroup"] {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace(['\0', '\n'], " ");
            if text.contains(prefix) {
                found.insert(format!("process {name} {}", text.trim()));
            }
        }
    }
}

fn cgroups(folder: &Path, prefix: &str, depth: u32, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.insert(format!("cgroup {}", entry.path().display()));
        } else if depth < 1 {
            cgroups(&entry.path(), prefix, depth + 1, found);
        }
    }
}
