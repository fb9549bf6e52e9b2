//! Lines, ours and tokio-util's. The work is done by `bench/framing`, which is a program of its own so that
//! the engine's lock file knows nothing of the peer.

use clap::Args;

use crate::Outcome;
use crate::bench::table::Table;
use crate::cargo::{cargo, root};

/// How to print what was found.
#[derive(Args)]
pub(crate) struct Options {
    /// Print the table as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Builds it, runs it, and prints the table.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--manifest-path"]);
    bench.arg(root().join("bench/framing/Cargo.toml"));
    bench.stderr(std::process::Stdio::inherit());
    let done = bench.output()?;
    if !done.status.success() {
        return Err("bench/framing failed".into());
    }
    let table = table(&String::from_utf8(done.stdout)?)?;
    print!("{}", table.text(options.markdown));
    Ok(())
}

/// The table of what the bench says: lines of cells between tabs, the head first.
fn table(said: &str) -> Outcome<Table> {
    let mut lines = said.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let head = lines.next().ok_or("bench/framing says nothing")?;
    let mut table = Table::new(&head);
    for line in lines {
        if line.len() != head.len() {
            return Err(format!("bench/framing says {line:?} below {head:?}").into());
        }
        table.row(line.into_iter().map(str::to_owned).collect());
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn lines_of_cells_are_a_table() {
        let table = table("bytes\tours\n16\t1200\n").expect("it is one");
        assert_eq!(table.text(false), "bytes  ours\n16     1200\n");
    }

    #[test]
    fn what_is_no_table_is_told() {
        assert!(table("").is_err());
        assert!(table("a\tb\n1\n").is_err());
    }
}
