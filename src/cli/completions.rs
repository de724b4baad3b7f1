//! `skep completions`: for the shell.

use std::io::Write;

use clap::CommandFactory;

/// Print completions for a shell
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

const HELP: &str = "\
Examples:
  skep completions bash > /etc/bash_completion.d/skep
  skep completions zsh > \"${fpath[1]}/_skep\"

Exit status:
  0  printed";

pub fn run(out: &mut dyn Write, args: &Args) -> anyhow::Result<u8> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "skep", &mut script);
    out.write_all(&script)?;
    Ok(0)
}
