//! Whether a node can run what a manifest offers.

use super::Platform;

impl Platform {
    /// False for what stands in an index beside images, such as attestations
    /// (`unknown/unknown`), and for an empty statement.
    pub(super) fn is_stated(&self) -> bool {
        !matches!(self.os.as_str(), "" | "unknown")
    }

    /// Whether a node of platform `node` can run an image of this platform. Nodes report
    /// the kernel's names of architectures (`x86_64`), images Go's (`amd64`); what is left
    /// empty fits all, as Swarm's own scheduler has it.
    pub fn runs_on(&self, node: &Platform) -> bool {
        let same = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        same(&self.os, &node.os) && same(go_name(&self.architecture), go_name(&node.architecture))
    }
}

fn go_name(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" | "armv6l" | "armv7l" => "arm",
        "i386" | "i486" | "i586" | "i686" => "386",
        other => other,
    }
}
