//! How a comparison was made.

use crate::machine;
use crate::text::escape;

/// How a comparison was made.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The command.
    pub command: String,
    /// The text of the file that it names.
    pub file: Option<String>,
    /// Runs at a time.
    pub jobs: usize,
    /// Worker threads of each.
    pub threads: usize,
    /// What is said where several runs shared the machine.
    pub shared: Option<String>,
}

impl Provenance {
    /// It says how to make the same again, and on what machine times were measured.
    pub(super) fn section(&self) -> String {
        let file = self.file.as_ref().map_or(String::new(), |text| {
            format!("<details>\n<summary>its file</summary>\n<pre>{}</pre>\n</details>\n", escape(text))
        });
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let (jobs, threads) = (self.jobs, self.threads);
        let machine = machine::described();
        format!(
            "<h2>How this was made</h2>\n<pre>{}</pre>\n{file}<p class=\"note\">Carried out last by sph {}, {jobs} run{} at a time with {threads} thread{} \
             each, on {}. What else ran on this machine is not known here.</p>\n",
            escape(&self.command),
            env!("CARGO_PKG_VERSION"),
            plural(jobs),
            plural(threads),
            escape(&machine)
        )
    }
}
