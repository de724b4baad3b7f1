//! `[hooks.git.NAME]` and `[hooks.registry.NAME]`: who may tell that there is news.

/// A webhook that `skep run` can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    GitGithub,
    GitGitlab,
    GitGitea,
    GitGeneric,
    RegistryDistribution,
    RegistryHarbor,
    RegistryGithub,
    RegistryDockerHub,
    RegistryQuay,
    RegistryGeneric,
}

impl Hook {
    pub const ALL: [Self; 10] = [
        Self::GitGithub,
        Self::GitGitlab,
        Self::GitGitea,
        Self::GitGeneric,
        Self::RegistryDistribution,
        Self::RegistryHarbor,
        Self::RegistryGithub,
        Self::RegistryDockerHub,
        Self::RegistryQuay,
        Self::RegistryGeneric,
    ];

    /// As its path has it, below `/hooks/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitGithub => "git/github",
            Self::GitGitlab => "git/gitlab",
            Self::GitGitea => "git/gitea",
            Self::GitGeneric => "git/generic",
            Self::RegistryDistribution => "registry/distribution",
            Self::RegistryHarbor => "registry/harbor",
            Self::RegistryGithub => "registry/github",
            Self::RegistryDockerHub => "registry/dockerhub",
            Self::RegistryQuay => "registry/quay",
            Self::RegistryGeneric => "registry/generic",
        }
    }

    /// The key that names the file with its secret.
    pub fn key(self) -> String {
        format!("hooks.{}.secret_file", self.name().replace('/', "."))
    }
}
