//! `optag completions` and `optag man`: what shells and man(1) know of the commands, made from their definitions.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag completions bash > ~/.local/share/bash-completion/completions/optag
  optag completions zsh > ~/.zfunc/_optag
  optag completions fish > ~/.config/fish/completions/optag.fish")]
pub struct CompletionsArgs {
    /// Shell.
    shell: Shell,
}

/// Write the manual pages: one for the program and one for each command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  optag man ~/.local/share/man/man1
  optag man | man -l -                               the page of the program itself")]
pub struct ManArgs {
    /// Existing directory. Default: the page of the program alone, on standard output.
    dir: Option<PathBuf>,
}

/// Prints the completions.
///
/// Errors: standard output is closed.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // The generator panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "optag", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages.
///
/// Errors: the directory does not exist or cannot be written.
pub fn pages(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut program = Cli::command();
    // Also gives each command what it inherits.
    program.build();
    match &args.dir {
        Some(dir) => page_of_each(&program, "optag", dir)?,
        None => clap_mangen::Man::new(program).render(&mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of the commands below it: `optag-token-create.1`.
fn page_of_each(command: &Command, name: &str, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    let named = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(named).render(&mut page)?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        page_of_each(below, &format!("{name}-{}", below.get_name()), dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_man_can_read() {
        let dir = tempfile::tempdir().unwrap();
        pages(&ManArgs { dir: Some(dir.path().to_owned()) }).unwrap();
        let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            let page = text(&format!("optag-{}.1", command.get_name()));
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(text("optag-token-create.1").contains("optag\\-token\\-create"));
        assert!(text("optag.1").contains("optag\\-serve(1)"));
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "optag", &mut script);
            let script = String::from_utf8(script).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let missing = ManArgs { dir: Some("/proc/none/man1".into()) };
        assert!(pages(&missing).unwrap_err().to_string().contains("/proc/none/man1/optag.1"));
    }
}
