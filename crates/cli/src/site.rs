//! What `ropewalk web` serves, and how it is furnished.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ropewalk::http::compress::Compress;
use ropewalk::http::files::{Folder, Links, mime_type};
use ropewalk::http::middleware::{Cors, ErrorPages, Hosts, fields};
use ropewalk::http::proxy::{BadUpstream, ReverseProxy, upstream_options};
use ropewalk::http::{
    self, Directory, HeaderMap, HeaderName, HeaderValue, Limits, Method, Request, Resource, Site,
    StatusCode, UPLOAD_MAX, Uploads, Uri,
};
use ropewalk::protocol::Network;
use ropewalk::reactor::Reactor;

use crate::programs::Programs;
use crate::sandbox::Needs;
use crate::{logins, serving};

/// How long a page for an error may be, in bytes.
const PAGE_MAX: u64 = 1024 * 1024;

/// What is served, and with what around it.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct SiteOptions {
    /// The directory to serve
    #[arg(long, value_name = "DIR", default_value = ".")]
    path: PathBuf,

    /// Serve another directory to those who ask for this host: example.com=DIR, or *.example.com=DIR;
    /// may be given several times
    #[arg(long, value_name = "HOST=DIR")]
    vhost: Vec<String>,

    #[arg(
        long,
        value_name = "PREFIX=URL",
        help = "Pass requests below a path on to another server: /api=http://127.0.0.1:3000, or \
                /app=unix:/run/app.sock; may be given several times, for one path too, to take turns"
    )]
    proxy: Vec<String>,

    #[arg(
        long,
        value_name = "BYTES",
        requires = "proxy",
        default_value_t = UPLOAD_MAX,
        help = "How long a body may be that is passed on to another server, in bytes; it is passed on as it comes"
    )]
    proxy_body_max: u64,

    /// Make cookies of other servers those of the paths that lead to them
    #[arg(long, requires = "proxy")]
    map_cookies: bool,

    /// Tell servers that requests are passed on to the host that was asked for, instead of their own
    #[arg(long, requires = "proxy")]
    keep_host: bool,

    #[arg(
        long,
        value_name = "NETWORK",
        requires = "proxy",
        help = "Believe what proxies of this network or address say of their clients (Forwarded and \
                X-Forwarded-For), and pass it on; may be given several times"
    )]
    trust: Vec<Network>,

    #[command(flatten)]
    programs: Programs,

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

    #[arg(
        long,
        help = "Compress text for those who take it, as zstd, brotli or gzip; send x.br, x.zst or x.gz \
                in place of x where it is there and no older"
    )]
    gzip: bool,

    #[command(flatten)]
    upload: UploadOptions,

    /// Serve and list names that begin with a dot, too
    #[arg(long)]
    hidden: bool,

    /// Which symbolic links to follow
    #[arg(long, value_enum, default_value = "inside", value_name = "WHICH")]
    links: LinksArg,
}

/// Whether files are taken in, and which.
#[derive(Args)]
struct UploadOptions {
    #[arg(
        long,
        help = "Take files in, too: PUT puts one where its address says, and is resumed where it broke \
                off; off by default, and then for everyone who can reach the address"
    )]
    upload: bool,

    /// Let uploaded files take the place of those that have their name
    #[arg(long, requires = "upload")]
    overwrite: bool,

    /// How long an uploaded file may be, in bytes
    #[arg(long, requires = "upload", value_name = "BYTES", default_value_t = UPLOAD_MAX)]
    upload_max: u64,
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
        let mut resource = self.directory(self.folder(&self.path, "--path")?, reactor);
        if !self.vhost.is_empty() {
            let mut hosts = Hosts::new().otherwise(resource);
            for vhost in &self.vhost {
                let (host, path) = halves(vhost, '=', "--vhost", "example.com=DIR")?;
                let folder = self.folder(Path::new(path), "--vhost")?;
                let directory = self.directory(folder, reactor);
                hosts = hosts.host(host, directory).map_err(|error| format!("--vhost: {error}"))?;
            }
            resource = Box::new(hosts);
        }
        if self.gzip {
            // What is in files was not chosen by who asks for them, so its length tells nothing.
            let compress = Compress::new().even_secrets().threads(reactor.clone());
            resource = Box::new(resource.wrap(compress.into_middleware()));
        }
        resource = self.programs.around(resource, &self.path, reactor)?;
        if !self.proxy.is_empty() {
            let proxies = self.proxies(reactor)?;
            let around = move |request: Request, inner: &mut dyn Resource| {
                let path = request.uri().path();
                let found = proxies.iter().find(|(prefix, _)| is_below(path, prefix));
                match found {
                    Some((_, proxy)) => proxy.clone().render(request),
                    None => inner.render(request),
                }
            };
            resource = Box::new(resource.wrap(around));
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

    /// Sets how long bodies may be.
    pub(crate) fn furnish(&self, site: Site) -> Site {
        let limits = self.limits();
        let (others, passed_on) = (limits.body_max, self.proxy_body_max);
        let site = site.limits(limits);
        let prefixes = self.proxy.iter().filter_map(|proxy| proxy.split_once('='));
        let prefixes = prefixes.map(|(prefix, _)| prefix.trim_end_matches('/').to_owned());
        let prefixes: Vec<String> = prefixes.collect();
        if prefixes.is_empty() {
            return site;
        }
        site.body_max_of(move |request| {
            let path = request.uri().path();
            let is_passed_on = prefixes.iter().any(|prefix| is_below(path, prefix));
            if is_passed_on { Some(passed_on) } else { others }
        })
    }

    /// How much of a body the site has to take.
    fn limits(&self) -> Limits {
        let limits = Limits::default();
        if self.upload.upload {
            Limits { body_max: Some(self.upload.upload_max), ..limits }
        } else {
            limits
        }
    }

    fn directory(&self, folder: Folder, reactor: &Reactor) -> Box<dyn Resource> {
        if self.upload.upload {
            let uploads = Uploads::new(folder, reactor.clone()).max(self.upload.upload_max);
            Box::new(uploads.overwrite(self.upload.overwrite))
        } else {
            Box::new(Directory::new(folder, reactor.clone()))
        }
    }

    /// What a program in a sandbox needs for this.
    pub(crate) fn tell_needs(&self, needs: &mut Needs) -> Result<(), String> {
        if self.programs.is_any() {
            return Err("--sandbox: in a sandbox no program is started: leave --cgi out".to_owned());
        }
        let others = self.vhost.iter().filter_map(|vhost| vhost.split_once('='));
        for folder in others.map(|(_, folder)| Path::new(folder)).chain([self.path.as_path()]) {
            if self.upload.upload { needs.write(folder) } else { needs.read(folder) }
        }
        for (_, page) in self.error_page.iter().filter_map(|page| page.split_once('=')) {
            needs.read(page);
        }
        if let Some(file) = self.auth.as_deref().and_then(logins::file) {
            needs.follow(Path::new(file));
        }
        if !self.proxy.is_empty() {
            needs.connect();
        }
        Ok(())
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
        let folder = folder.title(title).hidden(self.hidden).links(links).precompressed(self.gzip);
        Ok(if self.spa { folder.fallback("index.html") } else { folder })
    }

    /// Which requests are passed on to whom, the longest path first.
    fn proxies(&self, reactor: &Reactor) -> Result<Vec<(String, ReverseProxy)>, String> {
        let agent = http::agent(reactor).options(upstream_options()).build();
        let mut proxies: Vec<(String, ReverseProxy)> = Vec::new();
        for proxy in &self.proxy {
            let (prefix, url) = halves(proxy, '=', "--proxy", "/api=http://127.0.0.1:3000")?;
            if !prefix.starts_with('/') {
                return Err(format!(
                    "--proxy: {prefix:?} is no path; write --proxy /{}={url}",
                    prefix.trim_start_matches('.')
                ));
            }
            let tell = |error: BadUpstream| format!("--proxy: {error}");
            let prefix = prefix.trim_end_matches('/').to_owned();
            let known = proxies.iter().position(|(known, _)| *known == prefix);
            let passed_on = match known {
                Some(at) => proxies.swap_remove(at).1.and(url).map_err(tell)?,
                None => {
                    let new = ReverseProxy::to(&agent, url).map_err(tell)?;
                    let new = new.at(&prefix).trust(self.trust.iter().copied());
                    let new = if self.map_cookies { new.map_cookies() } else { new };
                    if self.keep_host { new.keep_host() } else { new }
                }
            };
            proxies.push((prefix, passed_on));
        }
        proxies.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(proxies)
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

    /// The files that are read once; those of users are followed.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let pages = self.error_page.iter().filter_map(|page| page.split_once('='));
        pages.map(|(_, file)| PathBuf::from(file)).collect()
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

/// Whether a path is this prefix, which has no slash at its end, or below it.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Both sides of the first `between`.
pub(crate) fn halves<'a>(
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
