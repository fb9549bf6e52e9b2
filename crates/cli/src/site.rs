//! What `ropewalk web` serves, and how it is furnished.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ropewalk::http::files::{Folder, Links, mime_type};
use ropewalk::http::middleware::{Cors, ErrorPages, Hosts, fields};
use ropewalk::http::{
    Directory, HeaderMap, HeaderName, HeaderValue, Method, Resource, StatusCode, Uri,
};
use ropewalk::reactor::Reactor;

use crate::{logins, serving};

/// How long a page for an error may be, in bytes.
const PAGE_MAX: u64 = 1024 * 1024;

/// What is served, and with what around it.
#[derive(Args)]
pub(crate) struct SiteOptions {
    /// The directory to serve
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,

    /// Serve another directory to those who ask for this host: example.com=DIR, or *.example.com=DIR;
    /// may be given several times
    #[arg(long, value_name = "HOST=DIR")]
    vhost: Vec<String>,

    /// Answer addresses of pages that are not there with index.html, for programs that run in the browser
    #[arg(long)]
    spa: bool,

    /// Add a field to each answer, such as 'Cache-Control: no-cache'; may be given several times
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,

    #[arg(
        long,
        value_name = "ORIGIN",
        help = "Let pages of this origin read what is served: https://app.example, or * for all; \
                may be given several times"
    )]
    cors: Vec<String>,

    /// Let in only the users of a file that htpasswd wrote: htpasswd:FILE, or htpasswd:FILE:realm=NAME
    #[arg(long, value_name = "USERS")]
    auth: Option<String>,

    /// Show a page of your own for an error: 404=FILE; may be given several times
    #[arg(long, value_name = "STATUS=FILE")]
    error_page: Vec<String>,

    /// Serve and list names that begin with a dot, too
    #[arg(long)]
    hidden: bool,

    /// Which symbolic links to follow
    #[arg(long, value_enum, default_value = "inside", value_name = "WHICH")]
    links: LinksArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum LinksArg {
    /// Those that stay inside the directory
    Inside,
    /// All, wherever they lead
    All,
    /// None
    None,
}

impl SiteOptions {
    /// What answers, on this reactor's threads.
    pub(crate) fn resource(&self, reactor: &Reactor) -> Result<Box<dyn Resource>, String> {
        let main = Directory::new(self.folder(&self.path, "--path")?, reactor.clone());
        let mut resource: Box<dyn Resource> = Box::new(main);
        if !self.vhost.is_empty() {
            let mut hosts = Hosts::new().otherwise(resource);
            for vhost in &self.vhost {
                let (host, path) = halves(vhost, '=', "--vhost", "example.com=DIR")?;
                let folder = self.folder(Path::new(path), "--vhost")?;
                let directory = Directory::new(folder, reactor.clone());
                hosts = hosts.host(host, directory).map_err(|error| format!("--vhost: {error}"))?;
            }
            resource = Box::new(hosts);
        }
        if let Some(auth) = &self.auth {
            resource = logins::guarded(resource, auth, reactor)?;
        }
        if let Some(pages) = self.error_pages()? {
            resource = Box::new(resource.wrap(pages.into_middleware()));
        }
        let headers = self.headers()?;
        if !headers.is_empty() {
            resource = Box::new(resource.wrap(fields(headers)));
        }
        if let Some(cors) = self.cors()? {
            resource = Box::new(resource.wrap(cors.into_middleware()));
        }
        Ok(resource)
    }

    /// Whether only some are let in.
    pub(crate) fn has_logins(&self) -> bool {
        self.auth.is_some()
    }

    fn folder(&self, path: &Path, option: &str) -> Result<Folder, String> {
        serving::check_folder(path, option)?;
        let folder = Folder::new(path)
            .map_err(|error| format!("cannot read the directory {}: {error}", path.display()))?;
        let title = fs::canonicalize(path)
            .ok()
            .and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        let links = match self.links {
            LinksArg::Inside => Links::Inside,
            LinksArg::All => Links::All,
            LinksArg::None => Links::None,
        };
        let title = title.unwrap_or_else(|| "Files".to_owned());
        let folder = folder.title(title).hidden(self.hidden).links(links);
        Ok(if self.spa { folder.fallback("index.html") } else { folder })
    }

    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for header in &self.header {
            let (name, value) = halves(header, ':', "--header", "'Cache-Control: no-cache'")?;
            let name = HeaderName::try_from(name)
                .map_err(|_| format!("--header: {name:?} cannot be the name of a field"))?;
            let value = HeaderValue::try_from(value.trim())
                .map_err(|_| format!("--header: {value:?} cannot be the value of a field"))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn cors(&self) -> Result<Option<Cors>, String> {
        if self.cors.is_empty() {
            return Ok(None);
        }
        let cors = if self.cors.iter().any(|origin| origin == "*") {
            Cors::any()
        } else {
            let origins = self.cors.iter().map(|origin| origin_value(origin));
            Cors::of(origins.collect::<Result<Vec<_>, _>>()?)
        };
        Ok(Some(cors.methods([Method::GET, Method::HEAD])))
    }

    fn error_pages(&self) -> Result<Option<ErrorPages>, String> {
        if self.error_page.is_empty() {
            return Ok(None);
        }
        let mut pages = ErrorPages::new();
        for page in &self.error_page {
            let (code, path) = halves(page, '=', "--error-page", "404=not-found.html")?;
            let status = code.parse().ok().filter(|code| (400..600).contains(code));
            let status = status.and_then(|code: u16| StatusCode::from_u16(code).ok());
            let status = status.ok_or_else(|| {
                format!("--error-page: {code:?} is no error's status: expected 400 to 599")
            })?;
            let (content_type, text) = read_page(Path::new(path))?;
            pages = pages.page(status, content_type, text);
        }
        Ok(Some(pages))
    }
}

/// Both sides of the first `between`.
fn halves<'a>(
    text: &'a str,
    between: char,
    option: &str,
    example: &str,
) -> Result<(&'a str, &'a str), String> {
    text.split_once(between).ok_or_else(|| {
        format!("{option}: there is no {between:?} in {text:?}; write {option} {example}")
    })
}

/// An origin as browsers write it: a scheme, a host, perhaps a port, and nothing behind.
fn origin_value(origin: &str) -> Result<HeaderValue, String> {
    let is_origin = origin.parse().is_ok_and(|uri: Uri| {
        let is_whole = uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty());
        is_whole && uri.path() == "/" && uri.query().is_none() && !origin.ends_with(['/', '?'])
    });
    let is_origin = is_origin && !origin.contains('@');
    let value = HeaderValue::try_from(origin).ok().filter(|_| is_origin);
    value.ok_or_else(|| {
        format!(
            "--cors: {origin:?} is no origin: expected one such as https://app.example or \
             http://localhost:3000, without a path, or *"
        )
    })
}

/// A page and its type, which its name tells.
fn read_page(path: &Path) -> Result<(HeaderValue, Vec<u8>), String> {
    let shown = path.display();
    let told = |error| format!("--error-page: cannot read {shown}: {error}");
    let length = fs::metadata(path).map_err(told)?.len();
    if length > PAGE_MAX {
        return Err(format!(
            "--error-page: {shown} has {length} bytes; a page for an error has at most {PAGE_MAX}"
        ));
    }
    let text = fs::read(path).map_err(told)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((mime_type(&name), text))
}
