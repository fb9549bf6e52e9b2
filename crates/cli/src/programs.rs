//! Programs that answer for `ropewalk web`, by CGI.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use ropewalk::cgi::{Cgi, CgiFolder, PROGRAMS_MAX, Patience};
use ropewalk::http::{Request, Resource};
use ropewalk::protocol::process::Command;
use ropewalk::reactor::Reactor;

use crate::site::{halves, is_below};

/// Which programs answer, and how they are run.
#[derive(Args)]
pub(crate) struct Programs {
    #[arg(
        long,
        value_name = "PREFIX=PATH|*.EXT",
        help = "Have programs answer, by CGI: /cgi-bin=DIR for those in a directory, /git=PROGRAM for one, \
                '*.cgi' for those in the served directory whose names end so; may be given several times"
    )]
    cgi: Vec<String>,

    /// Set a variable in those programs' environment, which is empty otherwise but for PATH; may be given
    /// several times
    #[arg(long, value_name = "NAME=VALUE", requires = "cgi")]
    cgi_env: Vec<String>,

    /// How many of those programs may run at the same time, for each --cgi; others are answered 503
    #[arg(long, value_name = "NUMBER", requires = "cgi", default_value_t = PROGRAMS_MAX)]
    cgi_max: usize,

    /// How long such a program may neither read nor write, in seconds
    #[arg(long, value_name = "SECONDS", requires = "cgi", default_value_t = 60)]
    cgi_timeout: u64,

    /// Start such programs before a body that has no length has come whole: for those that read to its end,
    /// such as git's. Others are told its length once it has, up to 1 MiB
    #[arg(long, requires = "cgi")]
    cgi_read_to_end: bool,
}

/// A program or a folder of them, and where on the site.
enum Place {
    /// At this path, which has no slash at its end, and below.
    Below(String, Box<dyn Resource>),
    /// Wherever a name on the path ends as the programs' do.
    Ending(CgiFolder),
}

/// A program or a folder of them with all that the options say.
macro_rules! furnished {
    ($options:expr, $programs:expr, $served:expr) => {{
        let mut programs = $programs.patience($options.patience()).programs_max($options.cgi_max);
        if $options.cgi_read_to_end {
            programs = programs.read_to_end();
        }
        for (name, value) in $options.variables()? {
            programs = programs.variable(name, value);
        }
        match std::fs::canonicalize($served) {
            Ok(root) => programs.document_root(root),
            Err(_) => programs,
        }
    }};
}

impl Programs {
    /// Whether any may be started.
    pub(crate) fn is_any(&self) -> bool {
        !self.cgi.is_empty()
    }

    /// Programs where they are asked for, and `inner` elsewhere.
    pub(crate) fn around(
        &self,
        inner: Box<dyn Resource>,
        served: &Path,
        reactor: &Reactor,
    ) -> Result<Box<dyn Resource>, String> {
        if self.cgi.is_empty() {
            return Ok(inner);
        }
        let places = self.cgi.iter().map(|cgi| self.place(cgi, served, reactor));
        let mut places = places.collect::<Result<Vec<_>, String>>()?;
        // The longest path first, and names before the files that they would be.
        places.sort_by_key(|place| match place {
            Place::Below(prefix, _) => std::cmp::Reverse(prefix.len()),
            Place::Ending(..) => std::cmp::Reverse(usize::MAX),
        });
        let around = move |request: Request, inner: &mut dyn Resource| {
            let path = request.uri().path();
            let found = places.iter_mut().find(|place| match place {
                Place::Below(prefix, _) => is_below(path, prefix),
                Place::Ending(programs) => programs.claims(path),
            });
            match found {
                Some(Place::Below(_, programs)) => programs.render(request),
                Some(Place::Ending(programs)) => programs.render(request),
                None => inner.render(request),
            }
        };
        Ok(Box::new(inner.wrap(around)))
    }

    fn place(&self, cgi: &str, served: &Path, reactor: &Reactor) -> Result<Place, String> {
        if let Some(end) = cgi.strip_prefix('*') {
            if !end.starts_with('.') || end.len() == 1 || end.contains(['/', '*']) {
                return Err(format!("--cgi: {cgi:?}: expected an ending such as '*.cgi'"));
            }
            return Ok(Place::Ending(self.folder(served, served, reactor)?.ending(end)));
        }
        let (prefix, path) = halves(cgi, '=', "--cgi", "/cgi-bin=DIR")?;
        if !prefix.starts_with('/') {
            return Err(format!("--cgi: {prefix:?} is no path; write --cgi /{prefix}={path}"));
        }
        let prefix = prefix.trim_end_matches('/').to_owned();
        let path = Path::new(path);
        let told = |error| format!("--cgi: cannot read {}: {error}", path.display());
        let path = std::fs::canonicalize(path).map_err(told)?;
        if path.is_dir() {
            let folder = self.folder(&path, served, reactor)?.at(&prefix);
            return Ok(Place::Below(prefix, Box::new(folder)));
        }
        let program = Cgi::new(Command::new(&path), reactor.clone()).at(&prefix);
        let program = furnished!(self, program, served);
        Ok(Place::Below(prefix, Box::new(program)))
    }

    fn folder(&self, path: &Path, served: &Path, reactor: &Reactor) -> Result<CgiFolder, String> {
        let told = |error| format!("--cgi: cannot read {}: {error}", path.display());
        let folder = CgiFolder::new(path, reactor.clone(), reactor.clone()).map_err(told)?;
        Ok(furnished!(self, folder, served))
    }

    fn patience(&self) -> Patience {
        Patience::default().with_silence(Duration::from_secs(self.cgi_timeout))
    }

    fn variables(&self) -> Result<Vec<(&str, &str)>, String> {
        let variables = self.cgi_env.iter();
        let variables = variables.map(|each| halves(each, '=', "--cgi-env", "NAME=VALUE"));
        variables.collect()
    }
}
